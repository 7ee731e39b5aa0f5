"""nkeys as the broker's own library writes them."""

import stat

import nkeys
import pytest
from modelmill_bus.broker_config import Identities
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import identities
from modelmill_service_kit.errors import PreconditionError


def test_a_key_is_what_the_brokers_library_makes_of_its_seed():
    ours = Nkey.generate()
    theirs = nkeys.from_seed(bytearray(ours.seed.encode()))

    assert theirs.public_key.decode() == ours.public
    assert theirs.seed.decode() == ours.seed == Nkey.from_seed(ours.seed).seed
    assert Nkey.generate().seed != ours.seed


@pytest.mark.parametrize(
    "damage",
    [
        lambda seed: "",
        lambda seed: seed[:-1],
        lambda seed: seed + "A",
        lambda seed: seed[:-1] + chr(ord(seed[-1]) + 1),
        lambda seed: seed.lower(),
        lambda seed: "SA" + seed[2:],
        lambda seed: "ü" + seed[1:],
        lambda seed: Nkey.from_seed(seed).public,
    ],
)
def test_what_is_no_seed_of_a_user_is_refused_by_the_name_of_its_file(tmp_path, damage):
    file = tmp_path / "trainer.nk"
    file.write_text(damage(Nkey.generate().seed))

    with pytest.raises(PreconditionError, match=f"{file} does not hold the nkey seed of a user"):
        Nkey.from_file(file)


def test_each_of_many_seeds_is_read_again_and_in_no_other_spelling():
    for _ in range(200):
        seed = Nkey.generate().seed
        assert Nkey.from_seed(seed).seed == seed
        with pytest.raises(ValueError, match="not the seed"):
            Nkey.from_seed(seed[:-1] + ("B" if seed[-1] == "A" else "A"))


def test_a_seed_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(PreconditionError, match=r"none\.nk cannot be read: No such file"):
        Nkey.from_file(tmp_path / "none.nk")


def test_identities_are_made_once_and_for_their_owner_alone(tmp_path):
    people = Identities(tmp_path / "identities")
    people.ensure()
    made = people.public_keys()
    (tmp_path / "identities" / "trainer.nk").unlink()
    people.ensure()
    again = people.public_keys()

    assert set(made) == set(identities())
    assert {name for name in made if made[name] != again[name]} == {"trainer"}
    for name in made:
        assert stat.S_IMODE(people.seed(name).file.stat().st_mode) == 0o600
        assert people.seed(name).file.read_text().strip() not in people.authorization()
    assert stat.S_IMODE((tmp_path / "identities").stat().st_mode) == 0o700
