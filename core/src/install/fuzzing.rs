//! What the fuzz target calls: facts, a layout and rules of others, and what must hold of the plan.
//!
//! Not for programs: it panics when something does not hold.

use super::{Facts, Layout, Plan, Request, Rule, commands};

/// `data` is a layout, the facts, and words, each ended by a byte that no UTF-8 has. Words are rules, or IDs after `wipe `.
pub fn install_plan(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0xff);
    let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (layout, facts, words) = (part(), part(), part());
    let layout = Layout::parse(&layout);
    if let Ok(layout) = &layout {
        assert_eq!(Layout::parse(&layout.to_string()).as_ref(), Ok(layout), "its text reads as itself");
    }
    let facts = Facts::parse(&facts);
    if let Ok(facts) = &facts {
        let text = serde_json::to_string(facts).expect("facts are JSON");
        assert_eq!(Facts::parse(&text).as_ref(), Ok(facts), "their text reads as themselves");
    }
    let (wipe, rules): (Vec<&str>, Vec<&str>) = words.lines().partition(|word| word.starts_with("wipe "));
    let wipe: Vec<String> = wipe.iter().map(|word| word.trim_start_matches("wipe ").to_owned()).collect();
    let rules: Vec<Rule> = rules.iter().filter_map(|rule| Rule::parse(rule).ok()).collect();
    let (Ok(layout), Ok(facts)) = (layout, facts) else { return };
    match Plan::make(&Request { facts: &facts, layout: &layout, rules: &rules, wipe: &wipe, job: Some("1") })
    {
        Ok(plan) => {
            for planned in &plan.disks {
                assert!(planned.disk.in_use.is_empty(), "in use");
                let is_lost = wipe.iter().any(|id| planned.disk.is_called(id));
                assert!(planned.disk.content.is_empty() || planned.is_own || is_lost, "not blank");
                let last = planned.partitions.last().map_or(0, |part| part.start + part.size);
                assert!(last <= planned.disk.size, "it fits");
            }
            assert!(!commands::script(&plan).contains('\0'));
            assert!(!plan.text("fuzz").contains(|c| c != '\n' && crate::printable::is_hidden(c)));
        }
        Err(refusal) => assert!(!refusal.sentence.is_empty() && !refusal.remedy.is_empty()),
    }
}
