"""Write the report of a benchmark as Markdown, CSV, JSON, and one HTML page.

    a2sg-zoo report work_dirs/benchmarks/small
    a2sg-zoo report DIR --out FOLDER --reference tri --metric top1

DIR is the folder of the suite's results. The HTML page needs no other file.
"""

from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('report', __doc__)
    parser.add_argument('folder', metavar='DIR', type=Path, help='folder of the results')
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='folder of the report (default: DIR)')
    parser.add_argument('--reference', help='method that the others are compared with (default: that of the suite)')
    parser.add_argument('--metric', help='metric of the tables (default: that of the suite)')
    args = parser.parse_args(argv)
    with errors_for_people():
        from a2sg_zoo.benchmark.reports.page import page
        from a2sg_zoo.benchmark.reports.report import build_report
        from a2sg_zoo.benchmark.reports.selection import read_plan
        from a2sg_zoo.benchmark.reports.tables import all_rows, comma_separated, csv_heads, markdown
        from a2sg_zoo.benchmark.suites.results import load_results
        from a2sg_zoo.errors import DataError
        from a2sg_zoo.hub.files import check_output_folder, write_output

        if not (args.folder / 'runs').is_dir():
            raise DataError(
                f'{args.folder} has no folder runs, so no results; give the folder where a2sg-zoo benchmark keeps them'
            )
        results, problems = load_results(args.folder)
        plan = read_plan(args.folder)
        report = build_report(
            results,
            problems,
            plan,
            args.metric or plan.get('metric', 'top1'),
            args.reference or plan.get('reference', 'tri'),
        )
        out = check_output_folder(args.out or args.folder, 'report')
        for name, contents in (
            ('report.md', markdown(report)),
            ('report.csv', comma_separated(report)),
            ('report.json', all_rows(report)),
            ('report.html', page(report)),
        ):
            write_output(contents, out / name, 'report', heads=csv_heads())
        gaps = sum(row['seeds_planned'] - row['seeds_done'] for table in report.tables for row in table.rows)
        print(
            f'{out}/report.md, .csv, .json, .html: {len(report.tables)} tables'
            + (f'; {gaps} runs are missing, see the marked rows' if gaps else ', no gaps')
        )


if __name__ == '__main__':
    main()
