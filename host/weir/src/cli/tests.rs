use clap::{CommandFactory as _, Parser as _};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_word_that_scripts_rely_on_is_understood() {
    for line in [
        "weir demo",
        "weir serve",
        "weir serve --data d --listen 127.0.0.1:0 --config c.toml",
        "weir topic create t",
        "weir topic create t --partitions 3 --config retention.ms=1 --config max.message.bytes=2",
        "weir topic list --output json",
        "weir topic describe t",
        "weir topic alter t --config retention.ms=1 --partitions 4",
        "weir topic delete t",
        "weir topic delete t --force",
        "weir produce t",
        "weir produce t file --key-separator , --partition 3",
        "weir produce t -",
        "weir consume t",
        "weir consume t --from earliest -n 3 --exit-at-end --output json --partition 1",
        "weir consume t --from @2013-06-30T12:00:00Z",
        "weir consume t --from 42",
        "weir plugin new n --kind filter",
        "weir plugin new dir/n --kind transform --sdk sdk/plugin --output json",
        "weir plugin new n --kind producer",
        "weir plugin build",
        "weir plugin build dir --output json",
        "weir plugin test f.wasm",
        "weir plugin test f.wasm --input lines.txt --set k=v --set l=w --key-separator , --output json --repeat 3",
        "weir plugin test f.wasm --input - --input-format json --outputs a,b --on-error skip --summary s.json",
        "weir plugin test f.wasm --deadline-ms 50 --memory 16M",
        "weir plugin test f.wasm --state state.jsonl",
        "weir plugin test f.wasm --polls 3 --cursor 17 --output json",
        "weir plugin upload f.wasm --name n",
        "weir plugin upload folder/f.wasm",
        "weir plugin list",
        "weir plugin describe n@1",
        "weir plugin delete n",
        "weir flow create f --plugin p@2 --plugin q --from a --to b --to c --set k=v --mode stream --on-error pause",
        "weir flow create f --plugin p --from a --from b --to c",
        "weir flow create f --plugin p --every 5s --to b",
        "weir flow list",
        "weir flow describe f",
        "weir flow pause f",
        "weir flow resume f",
        "weir flow rollback f",
        "weir flow rollback f --to 3",
        "weir flow state f",
        "weir flow state f --partition 3 --prefix p --limit 10 --plugin q --output json",
        "weir flow backfill f",
        "weir flow backfill f --start @2013-06-30T12:00:00Z --until 42 --plugin p@1 --plugin q --to c --name g",
        "weir flow replay f",
        "weir flow replay f --start earliest",
        "weir flow replay f --partition 3 --offsets 10..20 --topic t --name g",
        "weir flow delete f",
        "weir bench limits",
        "weir bench produce --partitions 16 --producers 4 --record-bytes 100 --flow",
        "weir bench produce --seconds 3 --flow identity",
        "weir bench consume",
        "weir bench latency",
        "weir bench plugin",
        "weir bench start --stored 5G",
        "weir bench all --output json",
        "weir completions zsh",
        "weir --broker h:1 --ca ca.pem --output json topic list",
        "weir topic list --broker h:1 --ca ca.pem",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_does_not_exist_yet_is_not_accepted_in_silence() {
    for line in [
        "weir serve --kafka 127.0.0.1:9092",
        "weir consume t --group g",
        "weir consume t --filter-set k=v",
        "weir consume t --filter p --filter-set k",
        "weir consume t --from -1",
        "weir consume t -n 0",
        "weir group list",
        "weir plugin new n",
        "weir plugin test f.wasm --repeat 0",
        "weir plugin test f.wasm --polls 0",
        "weir plugin test f.wasm --memory 1K",
        "weir plugin test f.wasm --set k",
        "weir flow create f --from a --to b",
        "weir flow create f --plugin p --from a --to b --mode batch",
        "weir flow create f --plugin p --from a --to b --on-error perhaps",
        "weir flow backfill",
        "weir flow backfill f --until latest",
        "weir flow replay f --offsets 10..20",
        "weir flow replay f --partition 1",
        "weir flow replay f --partition 1 --offsets 20..10",
        "weir flow replay f --partition 1 --offsets 10..20 --start earliest",
        "weir topic alter t",
        "weir topic create t --partitions 0",
        "weir topic create t --config retention.ms",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn help_has_examples() {
    let mut command = Cli::command();
    assert!(command.render_long_help().to_string().contains("Examples:"));
    for name in [
        "serve",
        "topic",
        "produce",
        "consume",
        "plugin",
        "flow",
        "bench",
        "completions",
    ] {
        let help = command
            .find_subcommand_mut(name)
            .map(|sub| sub.render_long_help().to_string());
        assert!(help.is_some_and(|help| help.contains("Examples:")), "{name}");
    }
}
