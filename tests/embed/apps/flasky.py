"""A Flask application with the blueprint."""

from __future__ import annotations

import os
import threading

from flask import Flask, Response

from gradewatch.embed.flask import blueprint


def make() -> Flask:
    app = Flask(__name__)
    app.register_blueprint(blueprint())

    @app.after_request
    def signed(response: Response) -> Response:
        response.headers["X-Pid"] = str(os.getpid())
        return response

    return app


before = {thread.name for thread in threading.enumerate()}
app = make()
assert {thread.name for thread in threading.enumerate()} == before, "no thread before the fork"
