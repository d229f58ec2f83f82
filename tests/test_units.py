"""Quantities: what is read, what is refused and how, and that writing and reading are inverse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from accelsim import units
from accelsim.errors import RefusalError
from accelsim.units import ENERGY, ENERGY_PER_BYTE, FREQUENCY, POWER, QUANTITIES, RATE, SIZE, TIME, WRITTEN, Bytes, Picoseconds, Quantity


class Sample(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    size: Bytes = 1
    time: Picoseconds = 0


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.parse_bytes, "64 KiB", 65536),
        (units.parse_bytes, "64 kB", 64000),
        (units.parse_bytes, "64KiB", 65536),
        (units.parse_bytes, " 64 B ", 64),
        (units.parse_bytes, "1.5 MiB", 1572864),
        (units.parse_bytes, "1e3 B", 1000),
        (units.parse_hertz, "800 MHz", 800_000_000),
        (units.parse_hertz, "1.2 GHz", 1_200_000_000),
        (units.parse_rate, "12.8 GB/s", 12_800_000_000),
        (units.parse_rate, "1 GiB/s", 2**30),
        (units.parse_rate, "480 MB/s", 480_000_000),
        (units.parse_time, "900 ns", 900_000),
        (units.parse_time, "0.5 us", 500_000),
        (units.parse_time, "0.5 \N{MICRO SIGN}s", 500_000),
        (units.parse_time, "35 ps", 35),
        (units.parse_time, "0 ns", 0),
        (units.ENERGY.parse, "0.9 pJ", 900_000),
        (units.ENERGY.parse, "3.46 nJ", 3_460_000_000),
        (units.ENERGY_PER_BYTE.parse, "2.3125 pJ/B", 2_312_500),
        (units.ENERGY_PER_BYTE.parse, "3.9 pJ/bit", 31_200_000),
        (units.POWER.parse, "57 uW", 57),
        (units.POWER.parse, "0.5 W", 500_000),
    ],
)
def test_a_quantity_is_read_exactly(read: Callable[[str], int], text: str, value: int) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("quantity", "text", "fault", "remedy"),
    [
        (SIZE, "64KB", "'64KB' can mean two sizes", "write '64 KiB' (65,536 bytes) or '64 kB' (64,000 bytes)"),
        (SIZE, "2 M", "'2 M' can mean two sizes", "write '2 MiB' (2,097,152 bytes) or '2 MB' (2,000,000 bytes)"),
        (RATE, "3 KB/s", "'3 KB/s' can mean two rates", "write '3 KiB/s' (3,072 bytes/s) or '3 kB/s' (3,000 bytes/s)"),
        (SIZE, "64", "'64' has no unit", "write 64 KiB or 64 B"),
        (TIME, "5", "'5' has no unit", "write 5 ns or 5 us"),
        (SIZE, "64 MHz", "'64 MHz' is a frequency, not a size", "allowed units: B, kB, KiB, MB, MiB, GB, GiB"),
        (
            RATE,
            "12.8 GB",
            "'12.8 GB' is a size, not a rate",
            "allowed units: B/s, kB/s, KiB/s, MB/s, MiB/s, GB/s, GiB/s.  Did you mean '12.8 GB/s'?",
        ),
        (RATE, "12.8 Gb/s", "'12.8 Gb/s' counts bits", "write '1.6 GB/s' (B is a byte, b a bit)"),
        (RATE, "10 Gbps", "'10 Gbps' counts bits", "write '1.25 GB/s' (B is a byte, b a bit)"),
        (SIZE, "64 Kib", "'64 Kib' counts bits", "write '8 KiB' (B is a byte, b a bit)"),
        (FREQUENCY, "800 mhz", "'800 mhz' has an unknown unit 'mhz'", "allowed units: Hz, kHz, MHz, GHz.  Did you mean 'MHz'?"),
        (SIZE, "0.5 B", "'0.5 B' is not a whole number of bytes", "the finest size is 1 B"),
        (TIME, "0.5 ps", "'0.5 ps' is not a whole number of picoseconds", "the finest time is 1 ps"),
        (SIZE, "0 B", "'0 B' is too small", "allowed: 1 B to 1024 GiB"),
        (TIME, "-5 ns", "'-5 ns' is too small", "allowed: 0 ps to 1000 s"),
        (SIZE, "1e50 B", "'1e50 B' is too large", "allowed: 1 B to 1024 GiB"),
        (ENERGY, "5", "'5' has no unit", "write 5 pJ or 5 nJ"),
        (ENERGY_PER_BYTE, "5", "'5' has no unit", "write 5 pJ/B or 5 pJ/bit"),
        (ENERGY, "2 mW", "'2 mW' is a power, not an energy", "allowed units: aJ, fJ, pJ, nJ"),
        (
            ENERGY_PER_BYTE,
            "8 pJ",
            "'8 pJ' is an energy, not an energy per byte",
            "allowed units: aJ/B, fJ/B, pJ/B, nJ/B, aJ/bit, fJ/bit, pJ/bit, nJ/bit.  Did you mean '8 pJ/B'?",
        ),
        (
            ENERGY,
            "8 pJ/bit",
            "'8 pJ/bit' is an energy per byte, not an energy",
            "allowed units: aJ, fJ, pJ, nJ.  Did you mean '8 pJ'?",
        ),
        (
            ENERGY_PER_BYTE,
            "8 K",
            "'8 K' has an unknown unit 'K'",
            "allowed units: aJ/B, fJ/B, pJ/B, nJ/B, aJ/bit, fJ/bit, pJ/bit, nJ/bit",
        ),
        (POWER, "0.1 uW", "'0.1 uW' is not a whole number of microwatts", "the finest power is 1 uW"),
        (ENERGY, "-1 pJ", "'-1 pJ' is too small", "allowed: 0 aJ to 1000000 nJ"),
        (ENERGY, "much", "'much' is not an energy", "write for example 0.9 pJ or 3.46 nJ"),
        (SIZE, "big", "'big' is not a size", "write for example 64 KiB or 64 B"),
        (SIZE, "", "'' is not a size", "write for example 64 KiB or 64 B"),
    ],
)
def test_a_refusal_shows_the_value_and_what_to_write(quantity: Quantity, text: str, fault: str, remedy: str) -> None:
    with pytest.raises(RefusalError) as refused:
        quantity.parse(text)
    assert (refused.value.fault, refused.value.remedy) == (fault, (remedy,))


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.noun)
@given(data=st.data())
def test_reading_what_was_written_gives_the_same_integer(quantity: Quantity, data: st.DataObject) -> None:
    value = data.draw(st.integers(quantity.least, quantity.most))
    assert quantity.parse(quantity.format(value)) == value


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.noun)
@given(text=st.text(max_size=20) | st.from_regex(r"[0-9]{1,3}\.?[0-9]{0,2} ?[kKMGi]{0,2}[Bb]?(/s)?", fullmatch=True))
def test_any_text_is_either_read_within_bounds_or_refused(quantity: Quantity, text: str) -> None:
    try:
        value = quantity.parse(text)
    except RefusalError:
        return
    assert quantity.least <= value <= quantity.most


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1 B"), (65536, "64 KiB"), (64000, "64 kB"), (1536, "1.5 KiB"), (1048577, "1048577 B"), (2**30, "1 GiB")]
)
def test_a_size_is_written_as_short_as_possible(value: int, text: str) -> None:
    assert units.format_bytes(value) == text


def test_other_quantities_are_written_as_people_write_them() -> None:
    assert units.format_hertz(800_000_000) == "800 MHz"
    assert units.format_rate(12_800_000_000) == "12.8 GB/s"
    assert units.format_time(900_000) == "900 ns"
    assert units.format_time(2_500_000) == "2.5 us"
    assert units.format_time(0) == "0 ps"
    assert units.format_energy(2_890_000) == "2.89 pJ"
    assert units.format_power(14_592) == "14592 uW"
    assert units.ENERGY_PER_BYTE.format(64_000_000) == "8 pJ/bit"


def test_from_python_integers_are_taken_as_they_are() -> None:
    assert Sample(size=64, time=5) == Sample.model_validate({"size": "64 B", "time": "5 ps"})


@pytest.mark.parametrize("size", [64, 64.0, True, None, [64]])
def test_from_yaml_a_size_without_unit_is_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"size": size}, context={WRITTEN: True})


def test_from_yaml_a_bare_zero_is_a_time_because_zero_needs_no_unit() -> None:
    assert Sample.model_validate({"time": 0}, context={WRITTEN: True}).time == 0


def test_python_values_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValidationError):
        Sample(size=0)
    with pytest.raises(ValidationError):
        Sample(time=-1)


def test_json_holds_the_unit_and_python_the_integer() -> None:
    assert Sample(size=65536, time=35).model_dump(mode="json") == {"size": "64 KiB", "time": "35 ps"}
    assert Sample(size=65536).model_dump()["size"] == 65536
