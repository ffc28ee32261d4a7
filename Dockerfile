# Worker and watch in one image; the command says which: `worker`, `watch`, `run`, `migrate` …
#
#   make image                                                   # finds the digest of the base by itself
#   docker build --build-arg DIGEST=sha256:… --build-arg EXTRAS=postgres -t gradewatch:watch .
#
# The base is always pinned by its digest, which this tells:
#   docker buildx imagetools inspect python:3.12-slim-bookworm --format '{{.Manifest.Digest}}'
ARG BASE=python:3.12-slim-bookworm
ARG DIGEST

FROM ${BASE}@${DIGEST} AS build
# Which stores and providers: a watch needs neither `ocr` nor `vision` nor `groq`.
ARG EXTRAS=ocr,postgres,mongo,supabase,vision,groq
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/gradewatch
WORKDIR /src
# What is installed changes seldom, our code often: requirements first, as a layer of their own.
COPY pyproject.toml README.md LICENSE ./
COPY gradewatch/version.py gradewatch/version.py
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      names = [e for e in '${EXTRAS}'.split(',') if e]; \
      print(*p['dependencies'], *(r for e in names for r in p['optional-dependencies'][e]), sep='\n')" > /tmp/needed.txt \
 && /opt/gradewatch/bin/pip install -r /tmp/needed.txt
COPY gradewatch gradewatch
COPY examples/exam examples/exam
COPY prometheus prometheus
COPY alertmanager alertmanager
RUN /opt/gradewatch/bin/pip install --no-deps . \
 && find /opt/gradewatch -name tests -type d -prune -exec rm -rf {} + \
 && /opt/gradewatch/bin/gradewatch --version

FROM ${BASE}@${DIGEST}
LABEL org.opencontainers.image.title="gradewatch" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 gradewatch && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin gradewatch \
 && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/gradewatch /opt/gradewatch
ENV PATH=/opt/gradewatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    GRADEWATCH_HTTP__HOST=0.0.0.0
# The embedded default writes ./gradewatch.db here; with any other store the root file system may be read-only.
WORKDIR /data
USER 10001:10001
EXPOSE 9464 9465
STOPSIGNAL SIGTERM
ENTRYPOINT ["gradewatch"]
CMD ["run"]
