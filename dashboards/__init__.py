"""Grafana boards and alert rules as code.

``boards/`` describes them; ``generate`` writes ``json/``, which is committed and shipped;
``shipped`` reads it; ``publish`` brings it into a Grafana that is there already.
"""
