"""The commands, as people type them: the real program, a real service, a real receiver."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import click
import pytest
import pytest_asyncio

from delivery.domain.catalogue import PUBLISHED
from service.api.deliveries import DeliveryFilters
from service.cli import hookline, main
from service.commands import printing
from tests.support.polling import until
from tests.support.program import EMAIL, PASSWORD, Program, json_lines
from tests.support.receiver import Receiver, verifies
from tests.support.samples import envelope

SECRET = "your-webhook-signing-secret"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A service with an account, for the tests that leave it as it was."""
    program = Program(tmp_path_factory.mktemp("service"))
    async with program.serving():
        await program.bootstrap()
        yield program


# -- one after the other -----------------------------------------------------------------------------------------------


async def test_an_event_goes_from_a_file_to_a_receiver_and_into_the_log(program: Program, receiver: Receiver) -> None:
    async with program.serving():
        made = await program.bootstrap()
        assert list(made) == ["account_id", "user_id", "api_key", "token"]
        await program.register(receiver.url, SECRET)

        event = envelope(job_id="ann_from_a_file")
        (program.folder / "event.json").write_text(json.dumps(event, indent=2))
        published = await program.run("publish", "event.json", "--json")
        assert published.json == {"accepted": 1, "duplicates": 0, "errors_count": 0, "errors": []}
        await until(lambda: len(receiver.calls) == 1)
        assert verifies(receiver.calls[0], SECRET)

        async def logged() -> bool:
            done = await program.run("deliveries", "--status", "delivered", "--json")
            return len(done.json["items"]) == 1

        await until(logged)
        shown = (await program.run("deliveries", "--job-id", "ann_from_a_file")).out.splitlines()
        assert shown[0].split()[:3] == ["TIME", "EVENT", "STATUS"]
        assert shown[1].split()[2:6] == ["annotation.completed", "delivered", "1", "200"]
        delivery_id = shown[1].split()[-2]
        assert (await program.run("deliveries", "--event", "batch.failed", "--json")).json["items"] == []

        assert (await program.run("retry", delivery_id)).code == 0
        await until(lambda: len(receiver.calls) == 2)
        assert receiver.calls[1].headers["X-Tagmatic-Attempt"] == "2"
        assert receiver.calls[1].body == receiver.calls[0].body


async def test_json_lines_are_published_and_each_bad_line_is_named(program: Program) -> None:
    lines = json_lines([envelope(job_id="ann_1"), envelope(job_id="ann_1"), {"event": "no.such.type"}])
    async with program.serving():
        await program.bootstrap()
        done = await program.run("publish", "-", stdin=lines + "\nnot json\n")
    assert done.code == 1
    assert done.err.splitlines() == ["Error: 2 of the events were refused"]
    first, second, last = done.out.splitlines()
    assert first.startswith("line 3: Unknown event type")
    assert second.startswith("line 5: Not valid JSON")
    assert last == "accepted 1, duplicates 1, refused 2"


@pytest.mark.parametrize("event_type", PUBLISHED)
async def test_trigger_publishes_a_sample_that_is_new_each_time(service: Program, event_type: str) -> None:
    first = (await service.run("trigger", event_type, "--json")).json
    assert (first["duplicate"], first["deliveries"]) == (False, 0)


async def test_listen_streams_signed_deliveries_and_forwards_them(program: Program, receiver: Receiver) -> None:
    async with program.serving():
        await program.bootstrap()
        words = ("listen", "--events", "batch.*", "--forward", receiver.url, "--secret", SECRET)
        async with program.running(*words) as listener:
            await until(lambda: "Listening to batch.*" in listener.out, within_s=30)
            await program.run("trigger", "annotation.completed")
            await program.run("trigger", "batch.failed")
            await until(lambda: "batch.failed" in listener.out)

            row = listener.out.splitlines()[-1].split()
            assert row[1] == "batch.failed"
            assert row[4:6] == ["verified", "200"]
            (call,) = receiver.calls
            assert verifies(call, SECRET)
            assert await listener.end(signal.SIGINT) == 0
            assert listener.err == ""


async def test_listen_on_a_port_verifies_what_is_posted_to_it(program: Program) -> None:
    async with program.serving(), program.running("listen", "--port", "0", "--secret", SECRET) as listener:
        await until(lambda: "Receiving on" in listener.out, within_s=30)
        url = listener.out.split()[2]
        await program.bootstrap()
        await program.register(f"{url}/right", SECRET)
        await program.register(f"{url}/wrong", "another-secret-of-eight-or-more")
        await program.run("trigger", "file.completed")
        await until(lambda: listener.out.count("file.completed") == 2)
        verdicts = sorted(line.split()[-2:] for line in listener.out.splitlines()[2:])
        assert verdicts == [["WRONG", "403"], ["verified", "204"]]


async def test_deliveries_can_be_followed(program: Program, receiver: Receiver) -> None:
    async with program.serving():
        await program.bootstrap()
        await program.register(receiver.url)
        async with program.running("deliveries", "--follow", "--json") as follower:
            await program.run("trigger", "batch.completed")
            await until(lambda: '"delivered"' in follower.out, within_s=30)
            assert json.loads(follower.out.splitlines()[-1])["event"] == "batch.completed"
            assert await follower.end() == 0


async def test_keys_are_made_listed_and_revoked(service: Program) -> None:
    made = (await service.run("keys", "create", "--email", EMAIL, "--name", "laptop", "--json")).json
    assert made["key"].startswith("tmk_")
    assert (await service.run("trigger", "batch.failed", API_KEY=made["key"])).code == 0

    assert (await service.run("keys", "revoke", made["id"])).code == 0
    refused = await service.run("trigger", "batch.failed", API_KEY=made["key"])
    assert (refused.code, refused.err) == (1, "Error: Invalid or revoked API key\n")
    listed = (await service.run("keys", "list", "--email", EMAIL, "--json")).json["items"]
    assert made["key"] not in str(listed)
    assert next(key for key in listed if key["name"] == "laptop")["revoked_at"] is not None
    again = await service.run("keys", "revoke", made["id"])
    assert again.code == 1
    assert "keys list" in again.err


async def test_dead_letters_are_listed_for_operators_only(service: Program) -> None:
    assert "operate" in (await service.run("dead-letters", "list")).err
    await service.bootstrap("--operator")
    assert (await service.run("dead-letters", "list", "--json")).json == {"items": [], "next": None}
    missing = await service.run("dead-letters", "show", "dead_1")
    assert (missing.code, missing.err) == (1, "Error: No such dead letter\n")
    await service.bootstrap()


async def test_bootstrap_again_finds_the_same_account(service: Program) -> None:
    first, second = await service.bootstrap(), await service.bootstrap()
    assert (first["account_id"], first["user_id"]) == (second["account_id"], second["user_id"])


# -- starting ----------------------------------------------------------------------------------------------------------


async def test_start_shows_the_settings_and_no_secret(program: Program) -> None:
    async with program.serving(JWT_SECRET="not-to-be-shown-to-anybody-at-all") as service:
        assert "RETRY_SCHEDULE=60,300,1800,7200,28800" in service.out
        assert "JWT_SECRET=(set)" in service.out
        assert "not-to-be-shown" not in service.out + service.err


async def test_without_the_api_a_service_still_says_how_it_is(program: Program) -> None:
    async with program.serving("--roles", "worker,scheduler"):
        await program.bootstrap()
        done = await program.run("trigger", "batch.failed")
        assert (done.code, done.err) == (1, "Error: No such route\n")


async def test_postgresql_without_a_schema_is_sent_to_migrate(program: Program, postgres_url: str) -> None:
    program.settings = {"DATABASE_URL": postgres_url}
    done = await program.run("serve")
    assert done.code == 1
    assert "run `hookline migrate`" in done.err
    assert len(done.err.splitlines()) == 1

    assert (await program.run("migrate", "--json")).json["from"] is None
    again = (await program.run("migrate", "--json")).json
    assert again["from"] == again["to"]
    async with program.serving() as service:
        assert await service.end() == 0


async def test_a_database_that_is_away_is_waited_for(program: Program) -> None:
    program.settings = {"DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/none"}
    async with program.running("serve") as service:
        await until(lambda: bool(service.told("database.away")), within_s=30)
        program.settings |= {"URL": service.out.split()[-1], "API_KEY": "tmk_any"}
        asked = await program.run("deliveries")
        assert asked.code == 1
        assert asked.err.startswith("Error: The database postgresql+asyncpg://nobody@127.0.0.1:1/none is away")
        assert await service.end() == 0


# -- wrong usage and expected trouble ----------------------------------------------------------------------------------


async def test_an_unknown_setting_is_refused_with_the_likely_one(program: Program) -> None:
    done = await program.run("serve", RETRY_SHEDULE="1,2")
    assert done.code == 1
    assert done.err == "Error: Unknown setting HOOKLINE_RETRY_SHEDULE; did you mean HOOKLINE_RETRY_SCHEDULE?\n"


async def test_a_damaged_master_key_is_told_without_showing_it(program: Program) -> None:
    done = await program.run("serve", MASTER_KEYS="c2VjcmV0IHdpdGhvdXQgYSBuYW1l")
    assert done.code == 1
    assert done.err.startswith("Error: HOOKLINE_MASTER_KEYS: ")
    assert "c2Vjcm" not in done.err


async def test_settings_come_from_a_file_as_well(program: Program) -> None:
    (program.folder / "hookline.toml").write_text('database_url = "sqlite+aiosqlite:///elsewhere.db"\n')
    await program.run("--config", "hookline.toml", "migrate")
    assert (program.folder / "elsewhere.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        "serv",
        "serve --roles api,cook",
        "serve --processes 2 --roles api",
        "bootstrap --email ada@example.com",
        "publish no-such-file",
        "trigger no.such.type --api-key k",
        "deliveries",
        "deliveries --status lost --api-key k",
        "keys list",
        "keys list --email a --account b",
        "listen --port 1 --forward http://127.0.0.1:2",
        "retry",
        "dead-letters",
        "--config no-such-file serve",
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(words.split())
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Usage: ")


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that lead to it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *before, name)
        else:
            yield (*before, name), command


COMMANDS = dict(commands_of(hookline))


@pytest.mark.parametrize("words", [(), ("keys",), ("dead-letters",), ("secrets",), *COMMANDS], ids=" ".join)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr()
    assert said.out.startswith("Usage: ")
    assert said.err == ""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_its_options_are_and_shows_how_it_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: Sequence[str]
) -> None:
    command = COMMANDS[tuple(words)]
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    monkeypatch.setenv("HOOKLINE_API_KEY", "tmk_any")
    monkeypatch.chdir(tmp_path)
    for file in ("event.json", "events.jsonl", "hookline.toml"):
        (tmp_path / file).touch()
    shown = [line for line in (command.epilog or "").splitlines() if " ".join(words) in line]
    assert shown
    for line in shown:
        called = re.split(r" \| source|\)\"", line.partition("hookline ")[2])[0]
        given = shlex.split(called, comments=True)
        arguments = given[given.index(words[-1]) + 1 :]
        with command.make_context(words[-1], arguments):
            pass  # it is parsed; a file that it names is closed with it


def test_the_log_is_filtered_by_whatever_the_api_knows() -> None:
    options = {option.rstrip("_") for option in (param.name or "" for param in COMMANDS[("deliveries",)].params)}
    assert {field.rstrip("_") for field in DeliveryFilters.model_fields} <= options


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_gets_what_completes_commands(program: Program, shell: str) -> None:
    printed = await program.run("completion", shell)
    assert f"_HOOKLINE_COMPLETE={shell}_complete" in printed.out


async def test_bash_completes_commands_options_and_values(program: Program) -> None:
    script = """
        eval "$(hookline completion bash)"
        for words in "deliv" "deliveries --fol" "deliveries --status can" "trigger batch.c"; do
            COMP_WORDS=(hookline $words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _hookline_completion hookline; echo "${COMPREPLY[*]}"
        done
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["deliveries", "--follow", "cancelled", "batch.completed"], done.stderr


async def test_migrate_tells_its_steps_and_draws_a_bar_on_a_terminal(program: Program) -> None:
    plain = (await program.run("migrate")).out.splitlines()
    assert plain[0].startswith("0001 ")
    assert plain[-1].startswith("Migrated from an empty database to ")
    (program.folder / "hookline.db").unlink()
    typed = shlex.join([sys.executable, "-m", "service", "migrate"])
    on_terminal = await asyncio.to_thread(
        subprocess.run,
        ["script", "-qec", typed, "/dev/null"],
        cwd=program.folder,
        env=program.environ({}) | {"TERM": "xterm"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Migrating" in on_terminal.stdout
    assert "━" in on_terminal.stdout
    assert "0001 " not in on_terminal.stdout


def test_long_work_says_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing, "LINE_EVERY_S", 0)
    with printing.progress("Publishing", 2_000) as advance:
        advance(200)
        advance(1_000)
    assert capsys.readouterr().err == "Publishing: 200 of 2,000\nPublishing: 1,200 of 2,000\n"


async def test_python_m_service_is_the_same_program(program: Program) -> None:
    assert (await program.run("serve", "--processes", "many")).code == 2


async def test_a_service_that_is_not_there_is_one_line(program: Program) -> None:
    done = await program.run("deliveries", "--url", "http://127.0.0.1:1", "--api-key", "tmk_any")
    assert done.code == 1
    assert done.err.startswith("Error: No answer from http://127.0.0.1:1")
    assert len(done.err.splitlines()) == 1


# -- doctor ------------------------------------------------------------------------------------------------------------


async def test_doctor_finds_nothing_wrong_with_a_good_configuration(program: Program) -> None:
    await program.run("bootstrap", "--email", EMAIL, "--password", PASSWORD)
    done = await program.run("doctor", "--json")
    levels = {finding["subject"]: finding["level"] for finding in done.json}
    assert levels == dict.fromkeys(("settings", "keys", "database", "schema", "clock", "secrets", "bus"), "ok") | {
        "egress": "warn"
    }


async def test_doctor_says_what_is_wrong_and_how_to_mend_it(program: Program) -> None:
    await program.run("bootstrap", "--email", EMAIL, "--password", PASSWORD, MASTER_KEYS="")
    (program.folder / "hookline.db.keys").chmod(0o644)
    done = await program.run("doctor", BUS_URL="amqp://guest:guest@127.0.0.1:1/", ALLOWED_NETWORKS="0.0.0.0/0")
    assert done.code == 1
    assert done.err == "Error: not in order: keys, bus, egress\n"
    assert "chmod 600 hookline.db.keys" in done.out
    assert "Check BUS_URL" in done.out
    assert "0.0.0.0/0 lets deliveries reach every address" in done.out


async def test_doctor_looks_at_the_servers(program: Program, postgres_url: str, rabbit_url: str) -> None:
    program.settings = {"DATABASE_URL": postgres_url, "BUS_URL": rabbit_url}
    before = await program.run("doctor")
    assert before.code == 1
    assert "Run `hookline migrate`" in before.out

    await program.run("migrate")
    async with program.serving():
        after = await program.run("doctor", "--json")
    says = {finding["subject"]: finding["says"] for finding in after.json}
    assert says["database"].startswith(postgres_url.partition("@")[0])
    assert says["hookline.annotation"] == "0 messages, 1 consumers"


async def test_an_account_publishes_over_rabbitmq(program: Program, rabbit_url: str, receiver: Receiver) -> None:
    program.settings["BUS_URL"] = rabbit_url
    async with program.serving():
        made = await program.bootstrap()
        await program.register(receiver.url)
        events = json_lines([envelope(name, job_id=f"job_{number}") for number, name in enumerate(PUBLISHED)])
        del program.settings["API_KEY"]
        done = await program.run("publish", "-", "--account", made["account_id"], stdin=events)
        assert (done.code, done.out) == (0, "accepted 6, duplicates 0, refused 0\n")
        await until(lambda: len(receiver.calls) == len(PUBLISHED), within_s=30)
