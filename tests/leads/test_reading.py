"""Lead files as they come: encodings, separators, quotes, headers. What cannot be used is named by row and column."""

from __future__ import annotations

import pytest

from domain.errors import InvalidInput
from runner.leads.problems import BadRows
from tests.leads.world import World

HEADER = "email,first_name\n"


def refusal(world: World, text: str | bytes) -> InvalidInput:
    """The error that this file ends in; nothing may have changed."""
    path = world.file(text)
    before = world.everything()
    with pytest.raises(InvalidInput) as refused:
        world.load(text)
    assert world.everything() == before
    assert refused.value.source == str(path)
    return refused.value


def bad_rows(world: World, text: str | bytes) -> list[tuple[int, str, str]]:
    """Row, column and problem of each row that cannot be used."""
    error = refusal(world, text)
    assert isinstance(error, BadRows)
    return [(problem.row, problem.column, problem.problem) for problem in error.problems]


class TestFile:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    @pytest.mark.parametrize("separator", [",", ";"])
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_utf_8_with_or_without_a_mark_by_comma_or_semicolon_with_any_line_ends(
        self, world: World, encoding: str, separator: str, line_end: str
    ) -> None:
        lines = [f"email{separator}imię{separator}miasto", f"zofia@example.com{separator}Zażółć{separator}Łódź"]
        world.load(line_end.join([*lines, ""]).encode(encoding))
        assert world.addresses() == ["zofia@example.com"]
        assert world.fields() == [{"imię": "Zażółć", "miasto": "Łódź"}]

    def test_the_last_line_needs_no_end(self, world: World) -> None:
        world.load("email\nanna@example.com")
        assert world.addresses() == ["anna@example.com"]

    def test_a_semicolon_in_a_cell_does_not_part_where_commas_part_the_header(self, world: World) -> None:
        world.load(f"{HEADER}anna@example.com,Anna; Ewa; Ola\n")
        assert world.fields() == [{"first_name": "Anna; Ewa; Ola"}]

    def test_quotes_hold_separators_and_quotes(self, world: World) -> None:
        world.load(f'{HEADER}anna@example.com,"Anna ""Ania"", Ewa"\n')
        assert world.fields() == [{"first_name": 'Anna "Ania", Ewa'}]

    def test_blank_lines_and_lines_of_empty_cells_are_no_leads(self, world: World) -> None:
        report = world.load(f"{HEADER}\nanna@example.com,Anna\n,\n\njan@example.com,Jan\n\n")
        assert (report.rows, report.imported) == (2, 2)

    def test_a_header_without_rows_imports_nobody(self, world: World) -> None:
        assert world.load(HEADER).rows == 0
        assert world.addresses() == []

    def test_an_empty_file_is_refused(self, world: World) -> None:
        assert refusal(world, "").problem == "is empty."

    @pytest.mark.parametrize("row", [1, 2, 40])
    def test_what_is_not_utf_8_is_refused_with_its_row(self, world: World, row: int) -> None:
        rows = ["email,first_name", *(f"anna{nth}@example.com,Anna" for nth in range(2, 50))]
        rows[row - 1] += " Żaneta"
        error = refusal(world, "\n".join(rows).encode("cp1250"))
        assert (error.row, error.problem) == (row, "is not UTF-8.")

    def test_utf_16_is_refused(self, world: World) -> None:
        error = refusal(world, f"{HEADER}anna@example.com,Anna\n".encode("utf-16"))
        assert (error.row, error.problem) == (1, "is not UTF-8.")

    @pytest.mark.parametrize("name", ["nowhere.csv", "."], ids=["a missing file", "a folder"])
    def test_what_cannot_be_opened_is_refused_by_name(self, world: World, name: str) -> None:
        path = world.folder / name
        with pytest.raises(InvalidInput, match="cannot be read") as refused:
            world.load_file(path)
        assert refused.value.source == str(path)

    def test_a_quote_that_nobody_closed_is_refused_with_the_row_where_it_was_opened(self, world: World) -> None:
        error = refusal(world, f'{HEADER}anna@example.com,Anna\njan@example.com,"Jan\newa@example.com,Ewa\n')
        assert error.row == 3
        assert "quote" in error.problem

    @pytest.mark.parametrize(
        "row",
        [
            "jan@example.com," + ",".join(["x" * 100_000] * 11),
            'jan@example.com,"Jan\n' + "ewa@example.com,Ewa\n" * 60_000,
        ],
        ids=["in one line", "by a quote that nobody closed"],
    )
    def test_a_row_longer_than_any_row_is_refused_before_it_fills_the_memory(self, world: World, row: str) -> None:
        assert refusal(world, f"{HEADER}anna@example.com,Anna\n{row}\n").row == 3


class TestHeader:
    def test_every_other_column_becomes_a_merge_field(self, world: World) -> None:
        world.load("city,email,first_name\nŁódź,anna@example.com,Anna\n")
        assert world.fields() == [{"city": "Łódź", "first_name": "Anna"}]

    def test_names_may_have_blanks_around_them_and_email_capital_letters(self, world: World) -> None:
        world.load(" EMail , City \nanna@example.com,x\n")
        assert world.fields() == [{"City": "x"}]

    def test_a_file_without_the_column_email_is_refused(self, world: World) -> None:
        error = refusal(world, "address,first_name\nanna@example.com,Anna\n")
        assert (error.row, error.field, error.problem) == (1, "email", "there is no such column.")

    @pytest.mark.parametrize(
        ("header", "twice"), [("email,Email", "Email"), ("email,name,Name", "Name"), ("email,a,b,a", "a")]
    )
    def test_two_columns_of_one_name_are_refused(self, world: World, header: str, twice: str) -> None:
        error = refusal(world, f"{header}\nanna@example.com,x\n")
        assert (error.row, error.field) == (1, twice)
        assert "is there twice" in error.problem

    @pytest.mark.parametrize(
        ("name", "field"),
        [("first name", "first name"), ("1st", "1st"), ("", "column 2"), ("class", "class"), ("a\x07", "a\\x07")],
    )
    def test_a_name_that_no_template_can_use_is_refused(self, world: World, name: str, field: str) -> None:
        error = refusal(world, f"email,{name}\nanna@example.com,x\n")
        assert (error.row, error.field) == (1, field)

    def test_a_header_below_blank_lines_is_named_by_its_own_row(self, world: World) -> None:
        assert refusal(world, "\n\nemail,first name\n").row == 3


class TestRow:
    @pytest.mark.parametrize(
        ("cells", "count"), [("anna@example.com", 1), ("anna@example.com,Anna,Nowak", 3), ("anna@example.com,Anna,", 3)]
    )
    def test_too_many_or_too_few_cells(self, world: World, cells: str, count: int) -> None:
        assert bad_rows(world, f"{HEADER}{cells}\n") == [(2, "row", f"has {count} cells, the header has 2.")]

    def test_blanks_around_an_address_are_cut_off(self, world: World) -> None:
        world.load(f"{HEADER} anna@example.com ,Anna\n")
        assert world.addresses() == ["anna@example.com"]

    @pytest.mark.parametrize("cell", ["", "  "])
    def test_a_row_without_an_address(self, world: World, cell: str) -> None:
        assert bad_rows(world, f"{HEADER}{cell},Anna\n") == [(2, "email", "the cell is empty.")]

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ('"An\nna"', "character 3 is a line break (U+000A)."),
            ('"An\rna"', "character 3 is a line break (U+000D)."),
            ('"An\r\nBcc: x@example.com"', "character 3 is a line break (U+000D)."),
            ("An\x00na", "character 3 is a control character (U+0000)."),
            ("\x1bAnna", "character 1 is a control character (U+001B)."),
            ("Anna\x85", "character 5 is a line break (U+0085)."),
            ("An\u2028na", "character 3 is a line break (U+2028)."),
            ("Anna\u202e", "character 5 is an invisible change of the writing direction (U+202E)."),
            ("=?utf-8?q?Anna=0ABcc?=", "character 1 begins an encoded word"),
            ("Anna =?UTF-8?B?QW5uYQ==?=", "character 6 begins an encoded word"),
            ("a" * 4001, "the value has 4,001 characters, 4,000 are the most."),
        ],
    )
    def test_a_value_that_is_not_one_clean_line_is_named_by_row_and_column(
        self, world: World, value: str, problem: str
    ) -> None:
        [(row, column, said)] = bad_rows(world, f"{HEADER}jan@example.com,Jan\nanna@example.com,{value}\n")
        assert (row, column) == (3, "first_name")
        assert said.startswith(problem)

    @pytest.mark.parametrize("value", ["a=b", "=?", "2 = 2?", "=SUM(A1)", "a" * 4000, "Ż ä 例 🎉", "<b>&amp;</b>"])
    def test_other_values_are_taken_as_they_are(self, world: World, value: str) -> None:
        world.load(f"{HEADER}anna@example.com,{value}\n")
        assert world.fields() == [{"first_name": value}]

    def test_an_encoded_word_in_the_address_is_named_too(self, world: World) -> None:
        [(row, column, problem)] = bad_rows(world, f"{HEADER}=?utf-8?q?a=0ABcc?=@example.com,Anna\n")
        assert (row, column) == (2, "email")
        assert "encoded word" in problem

    def test_priority_orders_and_is_no_merge_field(self, world: World) -> None:
        world.load("email,Priority,city\nanna@example.com,5,Łódź\njan@example.com,,Gdynia\newa@example.com, -3 ,Hel\n")
        assert world.priorities() == [5, 999, -3]
        assert world.fields()[0] == {"city": "Łódź"}

    @pytest.mark.parametrize("cell", ["high", "1.5", "1234567890", "١"])
    def test_a_priority_that_is_no_whole_number(self, world: World, cell: str) -> None:
        [(row, column, problem)] = bad_rows(world, f"email,priority\nanna@example.com,{cell}\n")
        assert (row, column) == (2, "priority")
        assert "whole number" in problem

    def test_rows_are_counted_as_a_spreadsheet_does_with_blank_lines_and_line_breaks_in_quotes(
        self, world: World
    ) -> None:
        text = f'{HEADER}\n"anna@example.com\n\n",Anna\n,\njan,Jan\n"ewa",Ewa\n'
        assert [row for row, _, _ in bad_rows(world, text)] == [5, 6]
        error = refusal(world, f'{HEADER}"anna@example.com\n\n",Anna\njan@example.com,Żaneta\n'.encode("cp1250"))
        assert (error.row, error.problem) == (3, "is not UTF-8.")


class TestManyBadRows:
    def test_each_is_listed_up_to_a_screen_and_the_rest_are_counted(self, world: World) -> None:
        good = [f"anna{nth}@example.com,Anna" for nth in range(5)]
        bad = [f"nobody{nth},Jan" for nth in range(27)]
        error = refusal(world, HEADER + "\n".join([*good, *bad]))
        assert isinstance(error, BadRows)
        assert (error.rows, error.bad) == (32, 27)
        lines = str(error).splitlines()
        assert lines[0].endswith("leads.csv: 27 of 32 rows cannot be used, so nothing was imported.")
        assert lines[1:21] == [f"  row {row}, email: An email address must have an @-sign." for row in range(7, 27)]
        assert lines[21] == "  … and 7 more"
        assert lines[22].endswith("leave them out with --skip-bad-rows.")

    def test_a_screenful_is_listed_without_counting_on(self, world: World) -> None:
        error = refusal(world, HEADER + "".join(f"nobody{nth},Jan\n" for nth in range(20)))
        assert "more" not in str(error)

    def test_no_row_is_quoted(self, world: World) -> None:
        error = refusal(world, f"{HEADER}secret,Anna\nsecret@example.com,=?utf-8?q?secret?=\nsecret@exam ple.com,x\n")
        assert isinstance(error, BadRows)
        assert error.bad == 3
        assert "secret" not in str(error)
