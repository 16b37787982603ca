"""What a finished run noted."""

import json


def log_of(folder, name):
    (found,) = folder.glob(f'{name}*.log.jsonl')
    return found


def note(run, **changes):
    """Alters what a run noted, such as the commit, which is that of whoever runs these tests."""
    path = run / 'run.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
