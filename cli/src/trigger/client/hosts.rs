//! `cdist trigger hosts`.

use cdist_core::trigger::{
    admin::api::view::{MachineList, MachineView},
    client::{self, Client, ClientError},
};

use super::{screen::Screen, table::Table};

/// All machines, by number.
pub(super) fn all(client: &Client) -> Result<Vec<MachineView>, ClientError> {
    let mut machines = Vec::new();
    let mut after = Some(0);
    while let Some(number) = after {
        let text = client.get(&format!("/machines?limit=500&after={number}"))?;
        let list: MachineList = client::read(&text)?;
        machines.extend(list.machines);
        after = list.next;
    }
    Ok(machines)
}

/// The machines, one in each line.
pub(super) fn table(machines: &[MachineView], screen: &Screen) -> String {
    let mut table =
        Table::new(&["ID", "MAC", "ADDRESS", "LAST SEEN", "LAST JOB", "INSTALL", "ARMED UNTIL", "SERIAL"]);
    for machine in machines {
        let clock = &screen.clock;
        table.row([
            machine.id.to_string(),
            machine.mac.clone().unwrap_or_default(),
            machine.address.clone(),
            machine.last_seen.as_deref().map(|time| clock.ago(time)).unwrap_or_default(),
            machine.last_job.map(|job| job.to_string()).unwrap_or_default(),
            machine.install.map(|state| state.to_string()).unwrap_or_default(),
            machine.armed_until.as_deref().map(|time| clock.date(time)).unwrap_or_default(),
            machine.facts.serial.clone().unwrap_or_default(),
        ]);
    }
    table.text(screen.size.map(|(width, _)| width), &["SERIAL", "LAST SEEN"], 16)
}
