//! Which object waits for which: what may go on, cycles, and what can never be done.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

use crate::config::declare::object::ObjectName;

/// What one unfinished object waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Needs {
    /// Objects that must be done before this one is prepared.
    pub requires: Vec<ObjectName>,
    /// Objects that must be done before this one runs.
    pub autorequires: Vec<ObjectName>,
}

/// Unfinished objects in creation order, each with what it waits for.
pub(in crate::config) type Graph = Vec<(ObjectName, Needs)>;

/// A cycle among the objects of `graph`, as a closed path whose last object is its first; `None` if there is
/// none. Names that are no object of `graph` are done or missing, and close no cycle.
pub(in crate::config) fn find_cycle(graph: &Graph) -> Option<Vec<ObjectName>> {
    let index: HashMap<&ObjectName, usize> =
        graph.iter().enumerate().map(|(i, (name, _))| (name, i)).collect();
    let edges: Vec<Vec<usize>> = graph
        .iter()
        .map(|(_, needs)| {
            needs.requires.iter().chain(&needs.autorequires).filter_map(|n| index.get(n).copied()).collect()
        })
        .collect();
    let mut finished = vec![false; graph.len()];
    for start in 0..graph.len() {
        if let Some(cycle) = search(start, &edges, &mut finished) {
            return Some(cycle.into_iter().filter_map(|i| graph.get(i).map(|(n, _)| n.clone())).collect());
        }
    }
    None
}

/// Depth first from `start`, with a stack of our own: a chain of requirements may be long.
fn search(start: usize, edges: &[Vec<usize>], finished: &mut [bool]) -> Option<Vec<usize>> {
    let mut path: Vec<(usize, usize)> = vec![(start, 0)];
    let mut on_path: HashSet<usize> = HashSet::from([start]);
    while let Some((node, next)) = path.last_mut() {
        let node = *node;
        if finished.get(node).copied().unwrap_or(true) {
            on_path.remove(&node);
            path.pop();
            continue;
        }
        let Some(&target) = edges.get(node).and_then(|e| e.get(*next)) else {
            if let Some(flag) = finished.get_mut(node) {
                *flag = true;
            }
            continue;
        };
        *next += 1;
        if on_path.contains(&target) {
            let from = path.iter().position(|(n, _)| *n == target).unwrap_or(0);
            let mut cycle: Vec<usize> = path.iter().skip(from).map(|(n, _)| *n).collect();
            cycle.push(target);
            return Some(cycle);
        }
        if !finished.get(target).copied().unwrap_or(true) {
            on_path.insert(target);
            path.push((target, 0));
        }
    }
    None
}

/// `a -> b -> a`
pub(in crate::config) fn cycle_text(cycle: &[ObjectName]) -> String {
    cycle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ")
}

/// One block for each unfinished object with what it waits for.
pub(in crate::config) fn unresolved_text(graph: &Graph, is_done: impl Fn(&ObjectName) -> bool) -> String {
    let open = |names: &[ObjectName]| {
        let mut names: Vec<String> = names.iter().filter(|n| !is_done(n)).map(ToString::to_string).collect();
        names.dedup();
        names.join("\n        ")
    };
    let mut text = String::new();
    for (name, needs) in graph {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{name} requires:\n        {}\n{name} autorequires:\n        {}",
            open(&needs.requires),
            open(&needs.autorequires)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    fn name(i: usize) -> ObjectName {
        ObjectName::parse(OsStr::new(&format!("__n/{i}")))
    }

    fn graph(edges: &[Vec<usize>]) -> Graph {
        edges
            .iter()
            .enumerate()
            .map(|(i, targets)| {
                let (odd, even): (Vec<_>, Vec<_>) =
                    targets.iter().map(|t| (t % 2 == 1, name(*t))).partition(|p| p.0);
                let names = |v: Vec<(bool, ObjectName)>| v.into_iter().map(|p| p.1).collect();
                (name(i), Needs { requires: names(odd), autorequires: names(even) })
            })
            .collect()
    }

    /// Kahn: takes away what waits for nothing until nothing changes; what is left has a cycle.
    fn has_cycle(edges: &[Vec<usize>]) -> bool {
        let mut left: HashSet<usize> = (0..edges.len()).collect();
        loop {
            let free: Vec<usize> =
                left.iter().copied().filter(|i| edges[*i].iter().all(|t| !left.contains(t))).collect();
            if free.is_empty() {
                return !left.is_empty();
            }
            left.retain(|i| !free.contains(i));
        }
    }

    #[test]
    fn prints_the_cycle_only() {
        let graph = graph(&[vec![1], vec![2], vec![3], vec![1]]);
        assert_eq!(cycle_text(&find_cycle(&graph).unwrap()), "__n/1 -> __n/2 -> __n/3 -> __n/1");
    }

    #[test]
    fn an_object_that_requires_itself_is_a_cycle() {
        assert_eq!(cycle_text(&find_cycle(&graph(&[vec![0]])).unwrap()), "__n/0 -> __n/0");
    }

    #[test]
    fn a_dense_graph_is_no_problem() {
        let edges: Vec<Vec<usize>> = (0..300).map(|i| (0..i).collect()).collect();
        assert_eq!(find_cycle(&graph(&edges)), None);
    }

    #[test]
    fn a_long_chain_is_no_problem() {
        let edges: Vec<Vec<usize>> =
            (0..50_000).map(|i| if i + 1 < 50_000 { vec![i + 1] } else { vec![] }).collect();
        assert_eq!(find_cycle(&graph(&edges)), None);
    }

    #[test]
    fn unresolved_names_each_waiting_object() {
        let text = unresolved_text(&graph(&[vec![7]]), |_| false);
        assert_eq!(text, "\n__n/0 requires:\n        __n/7\n__n/0 autorequires:\n        ");
    }

    /// Requirements among up to `max` objects, some of them to objects that do not exist.
    fn edges(max: usize) -> impl Strategy<Value = Vec<Vec<usize>>> {
        (1..max).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(0..n + 1, 0..4), n))
    }

    /// A closed path along requirements on which no object stands twice: all of a cycle, and nothing else.
    fn assert_is_whole_cycle(cycle: &[ObjectName], edges: &[Vec<usize>]) {
        assert!(cycle.len() >= 2 && cycle.first() == cycle.last(), "not closed: {cycle:?}");
        let different: HashSet<&ObjectName> = cycle.iter().collect();
        assert_eq!(different.len(), cycle.len() - 1, "an object stands twice: {cycle:?}");
        for pair in cycle.windows(2) {
            let from = (0..edges.len()).find(|i| name(*i) == pair[0]).unwrap();
            assert!(edges[from].iter().any(|t| name(*t) == pair[1]), "{pair:?} is no requirement");
        }
    }

    proptest! {
        #[test]
        fn finds_a_cycle_exactly_if_there_is_one(edges in edges(30)) {
            let found = find_cycle(&graph(&edges));
            prop_assert_eq!(found.is_some(), has_cycle(&edges));
            if let Some(cycle) = found {
                assert_is_whole_cycle(&cycle, &edges);
            }
        }

        /// The only cycle of a graph is named whole, wherever it is and whatever hangs on it.
        #[test]
        fn names_the_only_cycle_whole(
            mut edges in edges(40),
            order in Just((0..40).collect::<Vec<usize>>()).prop_shuffle(),
            length in 1usize..40,
        ) {
            let n = edges.len();
            // Requirements that go down in some order close no cycle ...
            let rank = |i: usize| order.iter().position(|o| *o == i).unwrap_or(usize::MAX);
            for (i, targets) in edges.iter_mut().enumerate() {
                targets.retain(|t| *t >= n || rank(*t) < rank(i));
            }
            prop_assert_eq!(find_cycle(&graph(&edges)), None);
            // ... and a chain that goes down closes one when its end requires its begin.
            let chain: Vec<usize> = order.iter().rev().copied().filter(|i| *i < n).take(length).collect();
            let mut only_chain = vec![Vec::new(); n];
            for (at, i) in chain.iter().enumerate() {
                only_chain[*i] = vec![chain[(at + 1) % chain.len()]];
            }
            // What is not on the chain may require anything that is lower, the chain nothing else.
            for i in 0..n {
                if !chain.contains(&i) {
                    only_chain[i] = edges[i].clone();
                }
            }
            let cycle = find_cycle(&graph(&only_chain)).expect("there is one");
            assert_is_whole_cycle(&cycle, &only_chain);
            let named: HashSet<ObjectName> = cycle.into_iter().collect();
            prop_assert_eq!(named, chain.iter().map(|i| name(*i)).collect::<HashSet<_>>());
        }
    }
}
