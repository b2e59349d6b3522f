//! The application protocol, both sides of it.

use std::thread;

use crate::channel::Channel;
use crate::Failure;

const CYCLE: usize = 251;
const PIECE: usize = 1 << 16;

/// Serve a client's commands until it says bye, or closes its side.
pub fn obey(channel: &Channel) -> Result<(), Failure> {
    let mut buffer = vec![0; PIECE];
    while let Some(line) = line(channel)? {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("echo", count) => {
                let mut left: usize = count.parse()?;
                while left > 0 {
                    let most = left.min(PIECE);
                    let count = some(channel, &mut buffer[..most])?;
                    channel.write(&buffer[..count])?;
                    left -= count;
                }
            }
            ("update", _) => {
                channel.rekey()?;
                channel.write(b"ok\n")?;
            }
            ("bye", _) => {
                channel.close_write()?;
                return channel.expect_end();
            }
            _ => return Err(format!("unknown command {line:?}").into()),
        }
    }
    channel.close_write()
}

/// Do one of a client's actions.
pub fn act(channel: &Channel, action: &str) -> Result<(), Failure> {
    match action.split_once(':').unwrap_or((action, "")) {
        ("echo", count) => echo(channel, count.parse()?),
        ("update", _) => {
            channel.write(b"update\n")?;
            match line(channel)?.as_deref() {
                Some("ok") => Ok(()),
                other => Err(format!("update was answered with {other:?}").into()),
            }
        }
        ("rekey", _) => channel.rekey(),
        ("bye", _) => {
            channel.write(b"bye\n")?;
            channel.expect_end()?;
            channel.close_write()
        }
        ("close", _) => {
            channel.close_write()?;
            channel.expect_end()
        }
        _ => Err(format!("unknown action {action:?}").into()),
    }
}

fn echo(channel: &Channel, count: usize) -> Result<(), Failure> {
    let pattern: Vec<u8> = (0..PIECE + CYCLE).map(|i| (i % CYCLE) as u8).collect();
    let pattern = pattern.as_slice();
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            channel.write(format!("echo {count}\n").as_bytes())?;
            (0..count)
                .step_by(PIECE)
                .try_for_each(|sent| channel.write(&pattern[sent % CYCLE..][..PIECE.min(count - sent)]))
        });
        let mut buffer = vec![0; PIECE];
        let mut received = 0;
        while received < count {
            let most = PIECE.min(count - received);
            let length = some(channel, &mut buffer[..most])?;
            if buffer[..length] != pattern[received % CYCLE..][..length] {
                return Err(format!("the echo differs behind byte {received}").into());
            }
            received += length;
        }
        sender.join().map_err(|_| "the sending thread panicked")?
    })
}

fn line(channel: &Channel) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match channel.read(&mut byte)? {
            0 if line.is_empty() => return Ok(None),
            0 => return Err("the end came within a line".into()),
            _ if byte[0] == b'\n' => return Ok(Some(String::from_utf8(line)?)),
            _ => line.push(byte[0]),
        }
    }
}

fn some(channel: &Channel, into: &mut [u8]) -> Result<usize, Failure> {
    match channel.read(into)? {
        0 => Err("the end came within an echo".into()),
        count => Ok(count),
    }
}
