"""Rows as Markdown."""


def table(rows):
    """Dictionaries with the same keys as a Markdown table; None is 'undefined'."""
    heads = list(rows[0])
    lines = [heads, ['---'] * len(heads), *([cell(row[head]) for head in heads] for row in rows)]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def cell(value):
    if value is None:
        return 'undefined'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f'{value:.4g}' if isinstance(value, float) else str(value).replace('|', r'\|')
