"""Where the requests' times and sizes come from."""

from itertools import islice
from pathlib import Path
from statistics import fmean

import pytest

from fastapi_app.load.workload import Sample, built_in, from_csv

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(islice(built_in(seed=7), 40_000))


@pytest.mark.parametrize(
    ("name", "share", "figure"),
    [
        ("gap_s", 0.5, 0.118),
        ("gap_s", 0.95, 0.565),
        ("input_tokens", 0.5, 1020),
        ("input_tokens", 0.95, 4083),
        ("output_tokens", 0.5, 129),
        ("output_tokens", 0.95, 451),
    ],
)
def test_built_in_has_the_quantiles_of_the_real_trace(
    samples: list[Sample], name: str, share: float, figure: float
) -> None:
    values = sorted(getattr(sample, name) for sample in samples)

    assert values[int(share * len(values))] == pytest.approx(figure, rel=0.04)


def test_built_in_has_the_means_and_the_bounds_of_the_real_trace(samples: list[Sample]) -> None:
    assert fmean(sample.gap_s for sample in samples) == pytest.approx(0.181, rel=0.04)
    assert fmean(sample.input_tokens for sample in samples) == pytest.approx(1155, rel=0.04)
    assert fmean(sample.output_tokens for sample in samples) == pytest.approx(211, rel=0.04)
    assert max(sample.input_tokens for sample in samples) <= 14050
    assert max(sample.output_tokens for sample in samples) <= 1000


def test_csv_gives_gaps_and_tokens_and_starts_again_at_its_end(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(f"\ufeff{HEADER}2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9305900,396,109\n")

    assert list(islice(from_csv(file), 3)) == [Sample(0.0, 374, 44), Sample(4.25, 396, 109), Sample(0.0, 374, 44)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1 is '' and lacks TIMESTAMP, ContextTokens, GeneratedTokens; it must be TIMESTAMP,"),
        ("TIMESTAMP,ContextTokens\n", "line 1 is 'TIMESTAMP,ContextTokens' and lacks GeneratedTokens; it must be"),
        (HEADER, "line 2 is missing: the file holds no request; give one with at least one row"),
        (f"{HEADER}2023-11-16,1,2\n2023-11-16,x,2\n", "line 3: ContextTokens is 'x', but must be a whole number"),
        (f"{HEADER}2023-11-16,1\n", "line 2: GeneratedTokens is '', but must be a whole number"),
        (f"{HEADER}2023-11-16,1,-2\n", "line 2: GeneratedTokens is '-2', but must be a whole number"),
        (f"{HEADER}2023-11-16,1,{'9' * 5000}\n", "but must be a whole number from 0 to 1000000; correct it"),
        (
            f"{HEADER}yesterday,1,2\n",
            "line 2: TIMESTAMP is 'yesterday', not a time like the others; write it like 2023",
        ),
        (
            f"{HEADER}2023-11-16,1,2\n2023-11-16T00:00Z,1,2\n",
            "line 3: TIMESTAMP is '2023-11-16T00:00Z', not a time like",
        ),
        (f"{HEADER}2023-11-16,1,2\n2023-11-15,1,2\n", "line 3: TIMESTAMP '2023-11-15' is earlier than the line before"),
    ],
)
def test_csv_error_names_file_line_value_and_cure(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)

    with pytest.raises(ValueError, match=r"trace\.csv") as error:
        from_csv(file)

    assert sentence in str(error.value)


def test_csv_that_is_no_text_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(b"\xff\xfe\x00")

    for path in (file, tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(ValueError, match=r"cannot be read as CSV .* give a text file that starts TIMESTAMP,"):
            from_csv(path)
