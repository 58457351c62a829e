// Makes pages live. Without it they are complete, and have to be reloaded by hand.
"use strict";

// Lists and states: the same page is fetched again, and its content takes the place of the old one.
(() => {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const pause = Number(main.dataset.refresh) * 1000;
  const fresh = document.getElementById("fresh");
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    // What was done is news for a while only.
    setTimeout(() => address.searchParams.delete("done"), 30000);
    const plain = new URL(address);
    plain.searchParams.delete("done");
    history.replaceState(null, "", plain);
  }
  let failures = 0;

  // While the user types, or has text selected, the page does not change.
  const isInUse = () => {
    const active = document.activeElement;
    const selection = document.getSelection();
    return (main.contains(active) && active.matches("input, select, textarea"))
      || (selection && !selection.isCollapsed && main.contains(selection.anchorNode));
  };

  // The same link or button in the new content.
  const place = (element) => {
    if (!main.contains(element) || element === main) return null;
    const all = [...main.querySelectorAll("a, button, summary, [tabindex]")];
    const like = (other) => other.tagName === element.tagName && other.textContent === element.textContent
      && other.getAttribute("href") === element.getAttribute("href");
    const at = all.filter(like).indexOf(element);
    return () => [...main.querySelectorAll("a, button, summary, [tabindex]")].filter(like)[at]?.focus({ preventScroll: true });
  };

  const swap = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    if (!next || next.innerHTML === main.innerHTML) return;
    const focus = place(document.activeElement);
    const open = [...main.querySelectorAll("details[open]")].length > 0;
    main.replaceChildren(...next.childNodes);
    if (open) main.querySelectorAll("details").forEach((details) => { details.open = true; });
    focus?.();
    if (next.dataset.news !== main.dataset.news) {
      main.dataset.news = next.dataset.news ?? "";
      fresh.textContent = main.dataset.news;
    }
    // At its end nothing more happens.
    if (!next.dataset.refresh) delete main.dataset.refresh;
  };

  const load = async () => {
    if (!main.dataset.refresh) return;
    if (!document.hidden && !isInUse()) {
      try {
        const answer = await fetch(address, { credentials: "same-origin" });
        if (answer.redirected) return location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        const text = await answer.text();
        if (!isInUse()) swap(text);
        if (failures > 0) fresh.textContent = main.dataset.news;
        failures = 0;
      } catch {
        failures += 1;
        fresh.textContent = "The server does not answer; what is shown may be old.";
      }
    }
    setTimeout(load, pause * Math.min(failures + 1, 6));
  };
  setTimeout(load, pause);
})();

// A log that grows.
(() => {
  const log = document.getElementById("log");
  if (!log) return;
  log.scrollTop = log.scrollHeight;
  if (!log.dataset.events) return;
  const MOST = 512 * 1024;
  const live = document.getElementById("live");
  const source = new EventSource(log.dataset.events);
  let length = 0;

  const showState = async () => {
    const text = await fetch(location.href, { credentials: "same-origin" }).then((answer) => answer.text());
    const state = new DOMParser().parseFromString(text, "text/html").querySelector("main .state");
    if (state) document.querySelector("main .state")?.replaceWith(state);
  };

  source.addEventListener("start", () => {
    log.textContent = "";
    length = 0;
    live.textContent = "Live.";
  });
  source.addEventListener("message", (event) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(document.createTextNode(event.data + "\n"));
    length += event.data.length + 1;
    while (length > MOST && log.childNodes.length > 1) {
      length -= log.firstChild.length;
      log.firstChild.remove();
    }
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  source.addEventListener("end", (event) => {
    source.close();
    live.textContent = event.data;
    showState();
  });
  source.addEventListener("error", () => {
    live.textContent = source.readyState === EventSource.CLOSED
      ? "The log is not live any more. Reload the page."
      : "The connection is lost; it is tried again.";
  });
})();
