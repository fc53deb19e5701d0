import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.data.conversion import Converter
from hermes_nnunet.data.conversion.writing import map_values

FACTS = {
    "title": "",
    "cases": None,
    "home": "",
    "licence": "",
    "reference": "",
    "release": "",
    "layout": (),
    "find_cases": lambda source: [],
}
NAMES = st.lists(
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), min_size=1, max_size=20, unique=True
)


def converter(labels, values) -> Converter:
    return Converter(
        name="x", dataset="X", modalities=("CT",), channels=("CT",), labels=tuple(labels), values=values, **FACTS
    )


class TestLabelValues:
    @given(NAMES, st.data())
    def test_go_by_name_to_consecutive_integers_whatever_the_published_values(self, labels, data):
        size = len(labels) + data.draw(st.integers(0, 3))
        published = data.draw(st.lists(st.integers(1, 300), min_size=size, max_size=size, unique=True))
        names = data.draw(st.permutations([*labels, *[None] * (size - len(labels))]))
        values = dict(zip(published, names, strict=True))
        mapping = converter(labels, values).label_values
        assert mapping[0] == 0
        assert sorted({*mapping.values()} - {0}) == list(range(1, len(labels) + 1))
        for value, name in values.items():
            assert mapping[value] == (0 if name is None else labels.index(name) + 1)

        voxels = np.resize([0, *published], (3, 4, 40))
        mapped, unknown = map_values(voxels, mapping, "uint8")
        assert unknown == []
        for value in (0, *published):
            assert (mapped[voxels == value] == mapping[value]).all()

    def test_are_the_order_of_the_labels_where_none_are_given(self):
        assert converter(["liver", "tumor"], {}).label_values == {0: 0, 1: 1, 2: 2}


class TestOfPaper:
    def test_takes_the_facts_of_the_papers_tables(self):
        kits = Converter.of_paper("kits", **FACTS)
        assert (kits.name, kits.dataset, kits.channels) == ("kits", "KiTS19", ("CT",))
        assert kits.labels == ("kidney", "tumor")
        assert len(kits.published_names) == 210
        assert kits.lists.val == ("1", "161", "18", "37", "55", "110", "127", "89", "40")

    def test_lets_facts_be_given_instead(self):
        assert Converter.of_paper("chaos", channels=("MRI",), **FACTS).channels == ("MRI",)
