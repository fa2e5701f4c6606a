"""The one-run audit: a lower bound on epsilon, measured on planted records.

One noisy release of an agreement's own code, on a copy of it that is widened to one public class
a planted record (a canary), is turned into one score a canary (:mod:`design`, :mod:`release`,
:mod:`training`), those into three lower bounds on epsilon (:mod:`estimators`) and three checks
against the plan (:mod:`checks`), and those into a verdict (:mod:`verdict`).

Why each bound holds, and what the audit does not show: docs/decisions/0015-one-run-audit.md.
"""
