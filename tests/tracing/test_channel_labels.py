"""Atoms: which channels go together, against sets that are merged one pair at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_prune.tracing.labels import FIXED, Atoms

pairs = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=12)


def merged(count, unions):
    """The smallest atom of each atom's set."""
    sets = [{atom} for atom in range(count)]
    for pair in unions:
        joined = set().union(*(sets[atom] for atom in pair))
        for atom in joined:
            sets[atom] = joined
    return [min(each) for each in sets]


@settings(max_examples=60)
@given(st.lists(pairs, max_size=4))
def test_roots_are_the_smallest_atoms_of_merged_sets(calls):
    atoms = Atoms()
    labels = np.concatenate([atoms.mint(10) for _ in range(3)])
    for call in calls:
        first, second = np.array(call, dtype=np.int64).reshape(-1, 2).T
        atoms.unite(first, second, "")
    assert atoms.roots(labels).tolist() == merged(30, [pair for call in calls for pair in call])
    assert not atoms.frozen()


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_chain_of_unions(order):
    count = 5000  # more than there is room for at first
    atoms = Atoms()
    labels = atoms.mint(count)
    for start in range(count - 1)[::order]:
        atoms.unite(labels[start : start + 1], labels[start + 1 : start + 2], "")
    assert not atoms.roots(np.append(labels, FIXED))[:-1].any()
    assert len(atoms) == count
    assert atoms.roots(np.array([[FIXED]])).tolist() == [[FIXED]]


def test_atoms_opposite_fixed_must_stay():
    atoms = Atoms()
    made = atoms.mint(4)
    atoms.unite(made[:2], made[2:], "")
    atoms.unite(made, np.array([FIXED, FIXED, 0, FIXED]), "joined")
    atoms.freeze(made, "too late")
    assert atoms.frozen() == {0: "joined", 1: "joined"}
    assert atoms.roots(made).tolist() == [0, 1, 0, 1]


@pytest.mark.timeout(20)
def test_a_table_with_fixed_entries_becomes_a_rectangle():
    atoms = Atoms()
    made = atoms.mint(5)
    atoms.make_rectangular([np.array([[FIXED, 0, 1], [2, 3, 4]])])
    assert atoms.roots(made).tolist() == [0, 1, 2, 0, 1]
    assert list(atoms.frozen()) == [2]


@pytest.mark.timeout(20)
def test_what_goes_together_in_one_tensor_reaches_all_others():
    """A long chain of tables, each of which shares its last row with the next one's first: there and back."""
    atoms = Atoms()
    made = atoms.mint(2 * 3001).reshape(-1, 2)
    tables = [made[row : row + 2] for row in range(3000)]
    for order in (tables, tables[::-1]):
        atoms.make_rectangular(order)
    assert np.array_equal(atoms.roots(made), np.broadcast_to([0, 1], made.shape))
