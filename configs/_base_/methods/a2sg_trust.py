# A2SG whose widths change by at most a fifth from one search to the next. The paper has no such limit.
_base_ = 'a2sg.py'
adaptation = dict(policy=dict(searcher=dict(_delete_=True, type='ExactSearcher'), interval=5, trust=1.2))
