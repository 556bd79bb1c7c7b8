"""``sdnet build``: from a hospital's archive to a release like COVIDGR. Thin, as `cli` is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.build import protocol
from sdnet_lib.cli.process import say
from sdnet_lib.files import InputError


def build(
    dicoms: Annotated[Path, typer.Argument(metavar="DICOMS", help="Folder of DICOM files; only read.")],
    pcr: Annotated[Path, typer.Option(metavar="CSV", help="RT-PCR tests: patient, time, result.")],
    readings: Annotated[
        Path, typer.Option(metavar="CSV", help="Readings: patient or study, time, reader, parts or score.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The release: a new folder.")],
    salt: Annotated[Path, typer.Option(metavar="FILE", help="Secret of the pseudonyms; made if missing.")],
    burnt_in: Annotated[
        str,
        typer.Option(
            metavar="search|absent", help="Find and mask text in the pixels, or state there is none."
        ),
    ],
    marker: Annotated[str, typer.Option(help="Marker of laterality: keep, mask or standard.")] = "keep",
    machine: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Manufacturer, model and station; the most frequent."),
    ] = None,
    view: Annotated[list[str] | None, typer.Option(help="PA by default, as in the paper.")] = None,
    guess_view: Annotated[
        bool, typer.Option("--guess-view", help="Where the header is silent, PA or AP by the pixels.")
    ] = False,
    kvp: Annotated[str, typer.Option(metavar="LOW-HIGH", help="Tube voltage, such as 100-140.")] = "",
    hours: Annotated[
        float, typer.Option(min=0, help="Between film and RT-PCR, and film and reading.")
    ] = 24.0,
    readers: Annotated[int, typer.Option(min=1, help="Readings that must agree on the level.")] = 2,
    all_films: Annotated[bool, typer.Option("--all-films", help="Not only a patient's first film.")] = False,
    balance: Annotated[
        str, typer.Option(metavar="A,B", help="class, severity, sex, age; or none.")
    ] = "class",
    time_zone: Annotated[str, typer.Option(metavar="NAME", help="Of times that name none.")] = "UTC",
    dicom: Annotated[bool, typer.Option("--dicom", help="Write de-identified DICOM files too.")] = False,
    mids: Annotated[bool, typer.Option("--mids", help="Write BIMCV's layout too, into DIR/mids.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; the cores by default.")] = None,
    audit: Annotated[bool, typer.Option(help="Audit the release, into DIR-audit.")] = True,
) -> None:
    """Build a de-identified release from DICOM files, RT-PCR tests and readings. Interrupted, it goes on."""
    volts = _range(kvp)
    for file in (pcr, readings):
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    rules = protocol.Protocol(
        views=tuple(view or ("PA",)),
        machines=tuple(machine or ()),
        kvp=volts,
        pcr_hours=hours,
        reading_hours=hours,
        readers=readers,
        one_per_patient=not all_films,
        balance=() if balance == "none" else tuple(balance.split(",")),
        burnt_in=burnt_in,
        marker=marker,
        dicom=dicom,
        mids=mids,
        guess_view=guess_view,
    )
    protocol.check(dicoms, out, salt, rules)
    from sdnet_lib.build import make, select  # not before: they take seconds to load

    files = make.build(dicoms, pcr, readings, out, salt=salt, time_zone=time_zone, protocol=rules, jobs=jobs)
    say(select.flow(files).to_string(index=False))
    say(f"{(files['reason'] == '').sum()} films: {out}; {out}-private says who is who, keep it in the house")
    if audit:
        from sdnet_lib.data.cohort import read_cohort
        from sdnet_lib.publish import audit_page

        report = audit_page.write(read_cohort(out), out.name, Path(f"{out}-audit"))
        say(audit_page.summary(report, Path(f"{out}-audit")))


def _range(text: str) -> tuple[float, float] | None:
    """Return what ``100-140`` says; raise `InputError` for anything else."""
    low, dash, high = text.partition("-")
    try:
        if not text or float(low) <= float(high):  # which no number that is none is
            return (float(low), float(high)) if text else None
        raise ValueError
    except ValueError:
        raise InputError(f"--kvp {text}: write the lowest and the highest, as in 100-140") from None
