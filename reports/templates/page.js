// The page's behaviour. The table is there without it; everything that can be chosen is kept in the address.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  root.classList.add("scripted");

  // -- the address: one state, read from the hash and written to it ---------------------------------------------

  const FILTERS = ["q", "status", "kubernetes", "arch", "sort", "project", "all"];
  const DETAILS = ["cell", "build", "cluster"];

  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries([...FILTERS, ...DETAILS].map((key) => [key, given.get(key) || ""]));
  };
  const address = (state) => {
    const given = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
    return "#" + given.toString();
  };
  const go = (change, { replace = false } = {}) => {
    const target = address({ ...read(), ...change });
    if (replace) history.replaceState(null, "", target);
    else history.pushState(null, "", target);
    apply();
  };

  // A link of the table says only where it leads; the filters stay as they are.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (!dialog.contains(link)) opener = link;
    const given = Object.fromEntries(new URLSearchParams(link.getAttribute("href").slice(1)));
    const closed = { cell: "", build: "", cluster: "" };
    if (!Object.keys(given).length) go({ ...Object.fromEntries(FILTERS.map((key) => [key, ""])), ...closed });
    else go({ ...closed, ...given });
  });

  // -- what the details are made from is parsed when somebody asks for details ----------------------------------

  let parsed = null;
  const data = () => (parsed ??= JSON.parse($("data").textContent));

  const h = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value != null && value !== "") element.setAttribute(name, value);
    }
    element.append(...children.flat(9).filter((child) => child != null && child !== false && child !== ""));
    return element;
  };
  const css = (status) => (status === "n/a" ? "na" : status);
  const word = ({ status, flaky }) => (flaky && status === "success" ? "flaky" : status);
  const badge = (status, href) =>
    h(href ? "a" : "span", { class: "badge " + css(status), href }, status);
  const web = (url) => (/^https?:\/\//.test(url || "") ? url : null);
  const file = (path) => (path.startsWith("/") ? null : path.split("/").map(encodeURIComponent).join("/"));
  const link = (href, text) => (href ? h("a", { href }, text) : text);
  const short = (ref) => {
    const version = ref.version || ref.name;
    return /^[0-9a-f]{40}$/.test(version) ? version.slice(0, 7) : version;
  };
  const clock = (seconds) => {
    const whole = Math.floor(seconds);
    const two = (number) => String(number).padStart(2, "0");
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  };
  const titled = (id) => data().projects[id]?.display_name || id;
  const route = (key) => {
    const [stage, target] = [key.slice(0, key.indexOf(" ")), key.slice(key.indexOf(" ") + 1)];
    const kind = { build: "build", provision: "cluster" }[stage] || "cell";
    return "#" + new URLSearchParams({ [kind]: target });
  };

  const copyable = (text) => {
    const button = h("button", {
      type: "button",
      click: async () => {
        try {
          await navigator.clipboard.writeText(text);
          button.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(button.previousSibling);
          button.textContent = "Selected";
        }
      },
    }, "Copy");
    return h("div", { class: "copy" }, h("code", {}, text), button);
  };
  const pairs = (entries) =>
    h("dl", { class: "pairs" }, entries.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  const version = (ref) => [
    link(web(ref.url), h("span", { class: "version" }, short(ref))),
    short(ref) !== ref.name ? ` (${ref.name})` : "",
    ...Object.entries(ref.parts).map(([name, part]) => h("div", { class: "outcome" }, `with ${name} `, version(part))),
    ref.note ? h("div", { class: "outcome" }, ref.note) : "",
  ];
  const commit = (ref) => ref.commit && h("span", { class: "version" }, ref.commit);
  const problem = (key) => {
    const stage = data().stages[key];
    if (!stage?.error) return "";
    const { class: fault, message, remedy } = stage.error;
    return h("div", { class: "error" },
      h("p", {}, link(route(key), h("b", {}, key)), ` ${stage.status === "n/a" ? "is n/a" : "failed"} (${fault})`),
      h("pre", {}, message),
      remedy ? h("p", {}, h("b", {}, "Remedy "), remedy) : "");
  };

  const endOf = (stage) =>
    stage.seconds == null ? Date.parse(data().run.written) : Date.parse(stage.started) + 1000 * stage.seconds;
  const stageTable = (keys) => {
    const known = keys.map((key) => [key, data().stages[key] || { status: "n/a" }]);
    const begun = known.filter(([, stage]) => stage.started);
    const first = Math.min(...begun.map(([, stage]) => Date.parse(stage.started)));
    const last = Math.max(...begun.map(([, stage]) => endOf(stage)));
    const place = (stage) => {
      const bar = h("i", { class: css(stage.status) });
      const [from, to] = [Date.parse(stage.started), endOf(stage)];
      bar.style.left = `${(97 * (from - first)) / (last - first || 1)}%`;
      bar.style.width = `${(100 * Math.max(to - from, 0)) / (last - first || 1)}%`;
      return h("div", { title: `${stage.started} to ${stage.seconds == null ? "now" : new Date(to).toISOString()}` }, bar);
    };
    return h("table", { class: "stages" },
      h("thead", {}, h("tr", {}, ["Stage", "Status", "Took"].map((text) => h("th", { scope: "col", class: text === "Took" ? "number" : "" }, text)),
        h("th", { class: "track", "aria-label": "When" }), h("th", { scope: "col" }, "Log"))),
      h("tbody", {}, known.map(([key, stage]) => [
        h("tr", {},
          h("th", { scope: "row" }, key.split(" ")[0]),
          h("td", {}, badge(word(stage))),
          h("td", { class: "number" }, stage.cached ? "cached" : stage.seconds != null ? clock(stage.seconds) : ""),
          h("td", { class: "track" }, stage.started ? place(stage) : ""),
          h("td", {}, stage.log ? link(file(stage.log), "log") : "")),
        stage.detail || stage.upstream
          ? h("tr", {}, h("td", { class: "outcome", colspan: 5 }, stage.upstream ? ["because of ", link(route(stage.upstream), stage.upstream)] : stage.detail))
          : "",
      ])));
  };
  const pinList = (pins) => pins.map((pin) =>
    h("div", { class: "pin" },
      h("code", {}, `${pin.image}:${pin.tag}`), h("small", {}, pin.purpose === "e2e" ? "e2e container" : pin.name),
      h("code", {}, pin.digest)));
  const fileList = (paths) =>
    h("ul", { class: "plain" }, paths.map((path) => h("li", {}, link(file(path), path))));
  const deployments = (matches, name) => {
    const cells = Object.entries(data().cells).filter(([, cell]) => matches(cell));
    return h("ul", { class: "plain across" }, cells.map(([id, cell]) =>
      h("li", {}, name(cell), badge(word(cell), "#" + new URLSearchParams({ cell: id })))));
  };
  const part = (title, ...content) => (content.flat().some(Boolean) ? [h("h3", {}, title), ...content] : "");

  const projectOf = (build) => link("#" + new URLSearchParams({ project: build.project }), titled(build.project));
  const kubernetesOf = (cluster) => [version(cluster.kubernetes), `, ${cluster.arch}`];

  const VIEWS = {
    cell(id) {
      const cell = data().cells[id];
      if (!cell) return null;
      const [build, cluster] = [data().builds[cell.build], data().clusters[cell.cluster]];
      const keys = [`build ${cell.build}`, `provision ${cell.cluster}`, `deploy ${id}`, `e2e ${id}`];
      const checks = cell.checks;
      const counts = checks?.counts;
      return {
        title: [`${titled(build.project)} ${build.ref.name} on ${data().clouds[cluster.cloud] || cluster.cloud}`, badge(word(cell))],
        body: [
          keys.map(problem),
          pairs([
            ["Release", version(build.ref)],
            ["Commit", commit(build.ref)],
            ["Kubernetes", kubernetesOf(cluster)],
            ["Cluster", link(route(keys[1]), cluster.cluster?.name || cell.cluster)],
            ["Build", link(route(keys[0]), cell.build)],
            ["Helm", cell.release && `${cell.release.name}, revision ${cell.release.revision}, namespace ${cell.release.namespace}`],
            ["Checks", checks && (counts ? `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped` : `exit code ${checks.exit_code}`)],
          ]),
          part("Stages", stageTable(keys)),
          checks?.failures.length ? part("Failed checks", h("ul", { class: "plain" }, checks.failures.map((text) => h("li", {}, text)))) : "",
          part("Repeat this cell", copyable(cell.repeat)),
          build.pins.length ? part("Pins", pinList(build.pins)) : "",
          cell.files ? part("Logs and evidence", fileList(cell.files)) : "",
        ],
      };
    },
    build(id) {
      const build = data().builds[id];
      if (!build) return null;
      const key = `build ${id}`;
      const cell = Object.values(data().cells).find((one) => one.build === id);
      const own = (data().stages[key].log || "").replace(/[^/]*$/, "");
      const paths = own ? (cell.files || []).filter((path) => path.startsWith(own)) : [];
      return {
        title: [`Build of ${titled(build.project)} ${build.ref.name}`, badge(data().stages[key].status)],
        body: [
          problem(key),
          pairs([["Project", projectOf(build)], ["Release", version(build.ref)], ["Commit", commit(build.ref)], ["Arch", build.arch]]),
          part("Stage", stageTable([key])),
          build.pins.length ? part("Pins", pinList(build.pins)) : "",
          part("Deployments", deployments((one) => one.build === id, (one) => one.cluster)),
          paths.length ? part("Logs", fileList(paths)) : "",
        ],
      };
    },
    cluster(id) {
      const target = data().clusters[id];
      if (!target) return null;
      const key = `provision ${id}`;
      const made = target.cluster;
      return {
        title: [`Cluster on ${data().clouds[target.cloud] || target.cloud}`, badge(data().stages[key].status)],
        body: [
          problem(key),
          pairs([
            ["Kubernetes", kubernetesOf(target)],
            ["Name", made?.name],
            ["Endpoint", made?.endpoint],
            ["Nodes", made && h("ul", { class: "plain" }, made.nodes.map((node) => h("li", {}, `${node.name}, ${node.address}, ${node.role}`)))],
          ]),
          part("Stage", stageTable([key])),
          part("Deployments", deployments((one) => one.cluster === id, (one) => one.build)),
        ],
      };
    },
  };

  const dialog = $("details");
  const closeDetails = () => go({ cell: "", build: "", cluster: "" });
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeDetails(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDetails(); });

  let opener = null; // the link that gets the focus back
  const showDetails = (state) => {
    const kind = DETAILS.find((key) => state[key]);
    if (!kind) {
      if (!dialog.open) return;
      dialog.close();
      opener?.focus({ preventScroll: true });
      return;
    }
    const view = VIEWS[kind](state[kind]) || { title: ["Not in this run"], body: [h("p", {}, `This run has no ${kind} ${state[kind]}.`)] };
    dialog.firstElementChild.replaceChildren(
      h("h2", { id: "details-title", tabindex: -1, autofocus: "autofocus" }, ...view.title),
      h("button", { type: "button", class: "close", "aria-label": "Close", click: closeDetails }, "Close"),
      ...[view.body].flat(9).filter(Boolean));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };

  // -- the table ------------------------------------------------------------------------------------------------

  const MOST = 400;
  const table = $("matrix");
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.sort);
  const SEVERITY = ["failed", "cancelled", "running", "na", "flaky", "success"];
  const statusOf = (badge) => (badge ? badge.className.slice(6) : ""); // "badge failed"

  let relation = null;
  const projects = [];
  for (const body of table.tBodies) {
    if (body.className === "relation") { relation = { body, projects: [] }; continue; }
    relation ??= { body: null, projects: [] };
    const head = body.rows[0].cells[0];
    const rows = [...body.rows].map((row) => {
      const cells = [...row.cells].filter((cell) => cell !== head);
      const release = cells[0].textContent.trim();
      return {
        row, release,
        statuses: cells.slice(1).map((cell) => statusOf(cell.firstElementChild)),
        text: `${head.textContent} ${body.dataset.project} ${release}`.toLowerCase(),
        ...row.dataset,
      };
    });
    const project = { name: body.dataset.project, title: head.textContent, body, head, rows, relation, at: projects.length };
    relation.projects.push(project);
    projects.push(project);
  }
  const groups = new Set(projects.map((project) => project.relation));
  const total = projects.reduce((sum, project) => sum + project.rows.length, 0);

  const filter = (state) => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = state.status ? state.status.split(",") : [];
    const counts = {};
    for (const project of projects) {
      const mine = !state.project || project.name === state.project;
      project.matches = project.rows.filter((line) => {
        const within = mine
          && (!state.kubernetes || line.kubernetes === state.kubernetes)
          && (!state.arch || line.arch === state.arch)
          && words.every((word) => line.text.includes(word));
        if (within) for (const status of line.statuses.slice(1)) counts[status] = (counts[status] || 0) + 1;
        return within && (!wanted.length || wanted.some((status) => line.statuses.includes(status)));
      });
    }
    for (const chip of document.querySelectorAll(".chip")) chip.lastElementChild.textContent = counts[chip.dataset.status] || 0;
  };

  let order = projects; // as it is on the page
  const sort = (by, direction) => {
    for (const cell of table.tHead.rows[0].cells) {
      if (cell.dataset.sort === by) cell.setAttribute("aria-sort", direction);
      else cell.removeAttribute("aria-sort");
    }
    const column = columns.indexOf(by) - 2;
    const rank = (line) => SEVERITY.indexOf(line.statuses[column]) + 1 || 9;
    const key = (project) => {
      const rows = project.matches.length ? project.matches : project.rows;
      if (by === "project") return project.title.toLowerCase();
      if (by === "release") return rows[0].release.toLowerCase();
      return column < 0 ? "" : String(Math.min(...rows.map(rank)));
    };
    const sign = direction === "descending" ? -1 : 1;
    const { compare } = new Intl.Collator("en", { numeric: true });
    const next = [...groups].flatMap((group) => group.projects
      .map((project) => [key(project), project])
      .sort(([a, one], [b, two]) => sign * compare(a, b) || one.at - two.at)
      .map(([, project]) => project));
    if (next.every((project, at) => project === order[at])) return;
    order = next;
    table.append(...[...groups].flatMap((group) =>
      [group.body, ...order.filter((project) => project.relation === group).map((project) => project.body)].filter(Boolean)));
  };

  // A browser lays out thousands of rows in seconds, and nobody reads them: the first hundreds are shown, all on request.
  const show = (all) => {
    let found = 0;
    for (const project of order) {
      project.visible = all || found < MOST ? project.matches : [];
      found += project.matches.length;
      for (const line of project.rows) {
        const hidden = !project.visible.includes(line);
        if (line.row.hidden !== hidden) line.row.hidden = hidden;
      }
      const some = project.visible.length > 0;
      if (project.body.hidden === some) project.body.hidden = !some;
      // The project's own cell spans the rows that are left, and stands in the first of them.
      if (some && project.head.rowSpan !== project.visible.length) project.head.rowSpan = project.visible.length;
      if (some && project.visible[0].row !== project.head.parentNode) project.visible[0].row.prepend(project.head);
    }
    for (const group of groups)
      if (group.body) group.body.hidden = !group.projects.some((project) => project.visible.length);
    const shown = order.reduce((sum, project) => sum + project.visible.length, 0);
    $("found").textContent = found === total ? `${total} ${total === 1 ? "release" : "releases"}` : `${found} of ${total} releases`;
    $("rest").hidden = shown === found;
    $("rest").firstElementChild.textContent = `Show all ${found} releases`;
    $("empty").hidden = found > 0;
    $("scroll").hidden = found === 0;
  };

  for (const cell of table.tHead.rows[0].cells) {
    const label = cell.querySelector(".cloud") || cell.firstChild;
    const button = h("button", {
      type: "button",
      click: () => {
        const [by, direction] = read().sort.split(":");
        const next = by !== cell.dataset.sort ? "ascending" : direction === "ascending" ? "descending" : "";
        go({ sort: next && `${cell.dataset.sort}:${next}` });
      },
    }, label.textContent);
    label.replaceWith(button);
  }

  // -- a project's own page: its links above its part of the table ------------------------------------------------

  const showProject = (name) => {
    $("intro").hidden = Boolean(name);
    $("project").hidden = !name;
    for (const item of document.querySelectorAll("#failures li")) item.hidden = Boolean(name) && item.dataset.project !== name;
    const failed = document.querySelectorAll("#failures li:not([hidden])").length;
    if ($("failures")) {
      $("failures").hidden = !failed;
      $("failures-title").textContent = `${failed} failed ${failed === 1 ? "stage" : "stages"}`;
    }
    if (!name) return;
    const info = data().projects[name];
    $("project").replaceChildren(
      h("a", { class: "back", href: "#project=" }, "← All projects"),
      h("h1", {}, info ? info.display_name : `This run has no project ${name}`),
      info ? h("p", { class: "facts" }, [info.sub_title, info.cncf_relation].filter(Boolean).join(", ")) : "",
      info ? h("p", { class: "facts" }, web(info.project_url) ? link(info.project_url, "Home page") : "", web(info.repository_url) ? link(info.repository_url, "Repository") : "") : "");
  };

  // -- everything together ----------------------------------------------------------------------------------------

  let shownProject = null;
  const apply = () => {
    const state = read();
    if ($("q").value !== state.q) $("q").value = state.q;
    const wanted = state.status.split(",");
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", wanted.includes(chip.dataset.status));
    for (const set of document.querySelectorAll("[data-toggle]"))
      for (const button of set.children) button.setAttribute("aria-pressed", button.dataset.value === state[set.dataset.toggle]);
    if (shownProject !== state.project) showProject(shownProject = state.project);
    filter(state);
    sort(...state.sort.split(":"));
    show(state.all);
    showDetails(state);
  };

  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("q").addEventListener("input", () => go({ q: $("q").value }, { replace: true }));
  for (const chip of document.querySelectorAll(".chip"))
    chip.addEventListener("click", () => {
      const wanted = new Set(read().status.split(",").filter(Boolean));
      if (!wanted.delete(chip.dataset.status)) wanted.add(chip.dataset.status);
      go({ status: [...wanted].join(",") });
    });
  for (const set of document.querySelectorAll("[data-toggle]"))
    set.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) go({ [set.dataset.toggle]: button.dataset.value });
    });
  $("more")?.addEventListener("click", () => { $("failures").classList.add("all"); $("more").remove(); });
  addEventListener("hashchange", apply);
  addEventListener("popstate", apply);

  // -- look and time ----------------------------------------------------------------------------------------------

  const stored = (value) => {
    try {
      if (value) localStorage.setItem("crosscloud-theme", value);
      return localStorage.getItem("crosscloud-theme");
    } catch { return value; } // a page opened from a file may have no storage
  };
  const dark = () => getComputedStyle(root).colorScheme === "dark" || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const look = (theme) => {
    if (theme) root.dataset.theme = theme;
    $("theme").textContent = dark() ? "Light" : "Dark";
  };
  look(stored());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => look());
  $("theme").addEventListener("click", () => { const next = dark() ? "light" : "dark"; stored(next); look(next); });

  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const tell = () => {
    for (const element of document.querySelectorAll("time")) {
      const seconds = (Date.parse(element.dateTime) - Date.now()) / 1000;
      const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) || [];
      element.textContent = unit ? relative.format(Math.round(seconds / size), unit) : "just now";
    }
  };
  tell();
  setInterval(tell, 20000);

  // While the run goes on its page is written again and again. One that was not for ten minutes belongs to a run that
  // was killed, and one that somebody reads is not taken away.
  const fresh = () => Date.now() - Date.parse(document.body.dataset.written) < 600000;
  if (!document.body.dataset.finished && fresh())
    setInterval(() => { if (!dialog.open && document.activeElement !== $("q") && fresh()) location.reload(); }, 15000);

  // A table that is not wider than the window needs no scrollbar of its own, and can keep its head in sight.
  const fit = () => {
    $("scroll").classList.toggle("fits", table.offsetWidth <= $("scroll").clientWidth + 1);
  };
  addEventListener("resize", fit);

  // As cards (see page.css) the elements are no table to some browsers' accessibility trees, unless they say so.
  if (matchMedia("(max-width: 719px)").matches) {
    table.setAttribute("role", "table");
    for (const row of table.rows) {
      row.setAttribute("role", "row");
      for (const cell of row.cells) cell.setAttribute("role", cell.tagName === "TD" ? "cell" : "rowheader");
    }
  }

  apply();
  fit();
})();
