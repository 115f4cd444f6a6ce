// The page is told when something changed, and fetches that part. Without this script it is loaded again instead.
"use strict";
(function () {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  let busy = false, again = false;
  async function show() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(live.dataset.part + location.search, { redirect: "manual" });
      if (answer.ok) replace(await answer.text());
      else if (answer.type === "opaqueredirect" || answer.status === 401) location.reload();
    } catch (_) { /* no connection: the next event, or the next minute, comes */ }
    busy = false;
    if (again) { again = false; show(); }
  }
  function replace(text) {
    if (live.innerHTML === text) return;
    const open = live.querySelector("details[open] > summary");
    const ticked = new Set([...live.querySelectorAll("input:checked")].map((each) => each.value));
    const focused = live.contains(document.activeElement) ? document.activeElement.textContent : null;
    live.innerHTML = text;
    for (const each of live.querySelectorAll("summary")) if (open && each.textContent === open.textContent) each.parentNode.open = true;
    for (const each of live.querySelectorAll("input[type=checkbox]")) each.checked = ticked.has(each.value);
    if (focused !== null) {
      const same = [...live.querySelectorAll("a, button, summary")].find((each) => each.textContent === focused);
      (same || document.getElementById("main")).focus();
    }
  }
  const events = new EventSource("/events");
  events.addEventListener("change", show);
  setInterval(show, 20000);
  document.addEventListener("submit", function (event) {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
    setTimeout(function () { delete event.target.dataset.sent; }, 5000);
  });
})();
