"""The table of exactness is exact."""

import pytest

from a2sg_zoo.evidence.exactness import curvature_rows, operation_rows


def test_curvature():
    rows = curvature_rows(samples=12, widths=(4, 6, 5, 3))
    assert [row['measure'].split(' (')[0] for row in rows] == [
        *['largest Fisher eigenvalue'] * 2,
        'largest Hessian eigenvalue',
        'smallest Hessian eigenvalue',
        '|H v| for a random v',
        'Hessian trace',
    ]
    *exact, trace = rows
    assert all(row['value'] == pytest.approx(row['dense'], rel=1e-7) and row['dense'] for row in exact)
    assert trace['value'] == pytest.approx(trace['dense'], rel=0.5)


def test_operations():
    pytest.importorskip('neurobench.models')
    for row in operation_rows():
        assert row['here'] == pytest.approx(row['NeuroBench'], rel=1e-6) and row['here'] > 0, row
