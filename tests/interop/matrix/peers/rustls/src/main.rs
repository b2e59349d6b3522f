//! The peer "rustls" of the interop matrix: reads jobs from stdin, prints what happened as JSON lines.
//! ../README.md has the language that it speaks.

mod channel;
mod client;
mod options;
mod server;
mod talking;

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::thread;

use channel::Channel;
use options::Options;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A JSON value, as far as answers need any.
pub enum Value {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<String>),
}

impl<T: Into<String>> From<Option<T>> for Value {
    fn from(text: Option<T>) -> Self {
        text.map_or(Value::Null, |text| Value::Text(text.into()))
    }
}

impl Value {
    fn json(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => quoted(text),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character < ' ' => write!(out, "\\u{:04x}", character as u32).unwrap(),
            _ => out.push(character),
        }
    }
    out + "\""
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn say(fields: &[(&str, Value)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.json())).collect();
    // One call: lines of several threads do not mix. Nobody is left to tell when stdout is gone.
    let _ = std::io::stdout().lock().write_all(format!("{{{}}}\n", fields.join(",")).as_bytes());
}

pub fn say_handshake(job: u64, channel: &Channel, more: Vec<(&str, Value)>) {
    let (version, resumed, peer, alpn, group) = channel.facts();
    let mut fields = vec![
        ("job", Value::Number(job)),
        ("event", Value::Text("handshake".into())),
        ("version", version.into()),
        ("resumed", Value::Bool(resumed)),
        ("peer", peer.into()),
        ("alpn", alpn.into()),
        ("group", group.into()),
    ];
    fields.extend(more);
    say(&fields);
}

pub fn say_end(job: u64, result: Result<(), Failure>) {
    say(&[
        ("job", Value::Number(job)),
        ("event", Value::Text("end".into())),
        ("error", result.err().map(|error| error.to_string()).into()),
    ]);
}

fn main() {
    say(&[("event", Value::Text("ready".into())), ("version", Value::Text(env!("RUSTLS").into()))]);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut fields = line.split('\t').map(String::from);
        let (job, role) = (fields.next().and_then(|text| text.parse().ok()), fields.next());
        let (Some(job), Some(role)) = (job, role) else {
            eprintln!("not a job: {line:?}");
            continue;
        };
        let options = Options::parse(fields);
        thread::spawn(move || {
            let result = if role == "server" { server::run(job, &options) } else { client::run(job, &options) };
            if result.is_err() {
                say_end(job, result);
            }
        });
    }
}
