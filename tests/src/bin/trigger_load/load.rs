//! When requests begin, and what comes back.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventFlags},
    },
    io::Errno,
};

use crate::{
    answer::{self, Found},
    args::Args,
    report::Report,
    slot::{Slot, address, hardware_address},
};

/// How long nothing may happen while answers are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Load {
    args: Args,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    /// Slots that may send, as often as they are in here.
    free: VecDeque<usize>,
    /// Requests without an answer.
    waiting: usize,
    /// When the last answer came.
    answered: Instant,
    report: Report,
}

/// What comes after the requests that could begin.
enum Next {
    At(Instant),
    /// One when a slot is free.
    Answer,
    Nothing,
}

impl Load {
    pub(crate) fn new(args: Args) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let slots = (0..args.connections).map(|_| Slot::default()).collect();
        let free = (0..args.pipeline).flat_map(|_| 0..args.connections).collect();
        Ok(Self { args, epoll, slots, free, waiting: 0, answered: Instant::now(), report: Report::default() })
    }

    /// Makes all requests and waits for their answers. If the server goes away meanwhile, that is the end, and in the
    /// report.
    ///
    /// # Errors
    ///
    /// The server is not there, or this machine does not do what it has to.
    pub(crate) fn run(mut self) -> io::Result<Report> {
        if !self.args.new {
            for slot in 0..self.slots.len() {
                self.open(slot, slot as u64)?;
            }
        }
        let start = Instant::now();
        self.answered = start;
        match self.work(start) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && self.answered > start => {
                self.report.failed("server gone", self.waiting);
            }
            worked => worked?,
        }
        self.report.time = self.answered - start;
        Ok(self.report)
    }

    fn work(&mut self, start: Instant) -> io::Result<()> {
        let mut events = Vec::with_capacity(self.args.connections.min(1024));
        loop {
            let until = match self.begin_due(start)? {
                Next::Nothing if self.waiting == 0 => return Ok(()),
                Next::At(due) => due,
                Next::Nothing | Next::Answer => Instant::now() + PATIENCE,
            };
            let pause = until.saturating_duration_since(Instant::now());
            let pause =
                Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&pause)) {
                Err(Errno::INTR) => continue,
                found => found?,
            };
            for event in &events {
                self.happened(usize::try_from(event.data.u64()).unwrap_or(usize::MAX), event.flags)?;
            }
            if events.is_empty() && self.waiting > 0 && self.answered.elapsed() > PATIENCE {
                self.report.failed("no answer", self.waiting);
                return Ok(());
            }
        }
    }

    fn begin_due(&mut self, start: Instant) -> io::Result<Next> {
        loop {
            let now = Instant::now();
            let due = match self.args.rate {
                Some(rate) => start + Duration::from_secs_f64(self.report.requests as f64 / rate),
                None => now,
            };
            if due >= start + self.args.time || self.report.requests >= self.args.requests {
                return Ok(Next::Nothing);
            }
            if due > now {
                return Ok(Next::At(due));
            }
            let Some(slot) = self.free.pop_front() else { return Ok(Next::Answer) };
            self.begin(slot, due)?;
        }
    }

    fn begin(&mut self, slot: usize, due: Instant) -> io::Result<()> {
        let machine = self.args.first + self.report.requests;
        self.report.requests += 1;
        if !self.slots[slot].is_open() {
            self.open(slot, if self.args.new { machine } else { slot as u64 })?;
        }
        let request = self.request(machine);
        self.slots[slot].due.push_back(due);
        self.waiting += 1;
        match self.slots[slot].send(&self.epoll, slot, request.as_bytes()) {
            Ok(()) => Ok(()),
            Err(error) => self.broken(slot, error),
        }
    }

    fn request(&self, machine: u64) -> String {
        let Args { server, path, .. } = &self.args;
        let rest = format!("{path} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: load\r\nAccept: */*\r\n");
        if self.args.new {
            return format!("GET {rest}\r\n");
        }
        let body = format!("{{\"mac\":\"{}\"}}", hardware_address(machine));
        let length = body.len();
        format!("POST {rest}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    fn open(&mut self, slot: usize, machine: u64) -> io::Result<()> {
        self.report.connections += 1;
        Ok(self.slots[slot].open(&self.epoll, slot, address(machine), self.args.server)?)
    }

    fn happened(&mut self, slot: usize, flags: EventFlags) -> io::Result<()> {
        if flags.contains(EventFlags::OUT)
            && let Err(error) = self.slots[slot].resume(&self.epoll, slot)
        {
            return self.broken(slot, error);
        }
        if flags == EventFlags::OUT {
            return Ok(());
        }
        match self.slots[slot].receive() {
            Ok(ended) => self.take_answers(slot, ended),
            Err(error) => return self.broken(slot, error),
        }
        Ok(())
    }

    fn take_answers(&mut self, slot: usize, ended: bool) {
        let now = Instant::now();
        while !self.slots[slot].input.is_empty() {
            let answer = match answer::find(&self.slots[slot].input, ended) {
                Found::Part => break,
                Found::Nonsense => return self.close(slot, "nonsense"),
                Found::Answer(answer) => answer,
            };
            let Some(due) = self.slots[slot].due.pop_front() else {
                return self.close(slot, "too many answers");
            };
            self.report.answered(answer.status, answer.joined, now - due);
            self.answered = now;
            self.waiting -= 1;
            self.free.push_back(slot);
            self.slots[slot].input.drain(..answer.length);
            if self.args.new || answer.last {
                return self.close(slot, "closed");
            }
        }
        if ended {
            self.close(slot, "closed");
        }
    }

    fn broken(&mut self, slot: usize, error: Errno) -> io::Result<()> {
        if error == Errno::CONNREFUSED {
            return Err(error.into());
        }
        self.close(slot, if error == Errno::CONNRESET || error == Errno::PIPE { "reset" } else { "broken" });
        Ok(())
    }

    /// Closes a connection; the requests on it that have no answer will have none, for this reason.
    fn close(&mut self, slot: usize, reason: &'static str) {
        let lost = self.slots[slot].close();
        self.report.failed(reason, lost);
        self.waiting -= lost;
        self.free.extend(std::iter::repeat_n(slot, lost));
    }
}
