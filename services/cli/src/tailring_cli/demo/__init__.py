"""`tailring demo`: a whole fleet on one machine, and the proof that it works.

Data order is import order: `shop` imagines what customers do, `fleet` sends it with
the OpenTelemetry SDK, `layout` and `processes` run routers and samplers, `sink`
takes what is kept, `ledger` compares, `scrape` and `view` show, `run` ties them.
"""
