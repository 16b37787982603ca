"""The second page of made-up groups has every claim with its evidence."""

from a2sg_zoo.evidence.document import VERDICTS
from a2sg_zoo.evidence.paper import TOPICS
from tests.evidence.made_up import METHODS, rows_after


def test_every_claim_stands_in_its_section_with_its_verdict(pages):
    claims, _, text = pages
    for topic, title in TOPICS.items():
        shown = {row[0]: row for row in rows_after(text[text.index(f'\n## {title}\n') :], 'claim') if row[0]}
        for claim in claims:
            if claim.topic == topic:
                _, where, _, says, verdict = shown[claim.text]
                first = claim.evidence[0]
                assert (where, says, verdict) == (first.where, first.word, f'**{claim.verdict}**')
    # one shape supports the growth of the Hessian, and the other leaves it open; 4.2 fails for h = 1/2
    verdicts = {claim.text: claim.verdict for claim in claims}
    assert verdicts['The Hessian grows at least as beta^-2 (exponent of 1.9 or more)'] == 'held in part'
    assert verdicts['Theorem 4.2 for h = 0.5 in trained layers, with a fitted Gaussian'] == 'did not hold'
    assert verdicts['Theorem 4.2 for h = 0.5 in trained layers, with the measured potentials'] == 'held'


def test_the_table_of_verdicts_counts_the_claims(pages):
    claims, _, text = pages
    rows = rows_after(text, '')
    assert [row[0].split(']')[0][1:] for row in rows] == list(TOPICS.values())
    for row, topic in zip(rows, TOPICS):
        own = [claim.verdict for claim in claims if claim.topic == topic]
        assert row[1:] == [str(len(own)), *(str(own.count(v) or '') for v in VERDICTS)]


def test_a_measure_is_a_row_and_a_method_a_column(pages):
    _, _, text = pages
    for name, mean in (('first', '11.10'), ('second', '11.10')):
        found = {row[0]: row[1:] for row in rows_after(text[text.index(f'\n**{name}**\n') :], 'measure')}
        assert found['test accuracy, %'] == ['10.10 ± 0.10'] * (len(METHODS) - 1) + [f'{mean} ± 0.10']
        assert found['SAM sharpness'] == ['undefined: not measured'] * len(METHODS)


def test_shares_of_theorem_4_2_stand_by_h(pages):
    rows = rows_after(pages[2], 'h')
    assert [row[0] for row in rows] == ['0.5', '0.55', '0.6', '0.75', '1']
    # TRI where the condition holds, and where it does not; BOX likewise
    assert [row[1] for row in rows[:1] + rows[-1:]] == ['0', '1'] and {row[3] for row in rows} == {'0'}
