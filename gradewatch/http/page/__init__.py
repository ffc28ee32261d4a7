"""GET / and /jobs/{id}: the status page, for a teacher's lead by day and an engineer at 3 a.m.

The server renders the headline and puts the state into the page, so that it says something before any script has run;
from then on scripts ask for /api/overview after each cycle that /api/events tells of.
"""
