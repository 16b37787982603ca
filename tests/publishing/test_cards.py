"""Model cards say what the index says, and all of it."""

import xml.etree.ElementTree as ET

from a2sg_zoo.hub.index import Entry
from a2sg_zoo.publishing.cards import beta_picture, card, files_of, log_name
from tests.hub.tiny import facts as tiny_facts
from tests.hub.tiny import publish as publish_tiny


def test_picture_of_widths():
    beta = {'blocks.0.neuron': [0.25, 1.5], '<a&b>': [2.0]}
    texts = [node.text for node in ET.fromstring(beta_picture(beta)).iter('{http://www.w3.org/2000/svg}text')]
    assert texts == ['blocks.0.neuron', '0.25', '1.50', '<a&b>', '2.00']
    assert beta_picture(beta) == beta_picture(dict(beta))


def test_picture_of_widths_over_many_time_steps():
    picture = ET.fromstring(beta_picture({'neuron': [0.5 + t / 100 for t in range(128)]}))
    texts = [node.text for node in picture.iter('{http://www.w3.org/2000/svg}text')]
    cells = [*picture.iter('{http://www.w3.org/2000/svg}rect')][1:]
    assert texts == ['neuron'] and len(cells) == 128 and len({cell.get('fill') for cell in cells}) > 100
    assert int(picture.get('width')) < 1200


def test_a_width_that_never_moved_takes_a_line(tmp_path):
    path = publish_tiny(tmp_path)[1]
    entry = Entry('tiny', tiny_facts(path, path.name, beta={'a': [1.0], 'b': [1.0]}), tmp_path)
    assert 'beta = 1 in every layer' in card(entry) and list(files_of(entry)) == ['tiny.md']
    assert 'Widths' not in card(Entry('tiny', tiny_facts(path, path.name), tmp_path))


def test_a_card_shows_all_that_is_known(tmp_path):
    path = publish_tiny(tmp_path)[1]
    entry = Entry(
        'tiny',
        tiny_facts(
            path,
            path.name,
            firing_rates={'a': 0.125},
            flatness=dict(largest_eigenvalue=12.5),
            uses='Ants.',
            not_for='Wasps.',
            data=dict(name='Insects', licence='for research; see the source'),
            converted_from=dict(url='https://example.org/x.pth', licence='MIT'),
        ),
        tmp_path,
    )
    for expected in (
        '| a | 0.1250 |',
        '| largest eigenvalue | 12.5 |',
        'Ants.',
        'Wasps.',
        'of these weights: for research; see the source.',
        'Converted from <https://example.org/x.pth>, which is under MIT.',
    ):
        assert expected in card(entry)


def test_a_bar_does_not_split_a_cell(tmp_path):
    path = publish_tiny(tmp_path)[1]
    entry = Entry('tiny', tiny_facts(path, path.name, firing_rates={'a|b': 0.5}), tmp_path)
    assert r'| a\|b | 0.5000 |' in card(entry)


def test_names_of_logs(tmp_path):
    def name(location):
        return log_name(Entry('net', dict(location=location), tmp_path))

    assert name('weights/net-01234567.safetensors') == 'net-01234567.log.jsonl'
    assert name('weights/net.safetensors') == 'net.log.jsonl'
    # two addresses may end in the same name
    assert name('https://host/net/model.safetensors') == name('hf:me/net/model.safetensors') == 'net.log.jsonl'
