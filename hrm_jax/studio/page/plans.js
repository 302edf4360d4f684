/** A plan of work: people as rows, tasks as bars, and why each is where it is. */
import {h} from "./dom.js";
import {attempt, link, query, remember} from "./store.js";

const about = bar => `${bar.title} (${bar.times})${bar.due_text ? `, due ${bar.due_text}` : ""}: ${bar.reason}`;

export async function plans(settings) {
  const known = (await attempt("/api/plans"))?.plans ?? [];
  const wanted = settings.get("plan") ?? "";
  const body = h("div", {class: "stack"});
  const choice = h("select", {id: "plan", onchange: event => { location.hash = link("plans", {plan: event.target.value}); }},
    h("option", {value: ""}, known.length ? "choose one" : "none in the runs folder"), known.map(name => h("option", {value: name, selected: name === wanted}, name)));
  const file = h("input", {type: "file", id: "file", accept: ".json,application/json", onchange: async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    remember({plan: ""});
    const plan = await attempt("/api/plan", {name: chosen.name, text: await chosen.text()});
    if (plan) body.replaceChildren(...chart(plan));
  }});
  const element = h("div", {class: "stack"}, h("h1", {}, "Plans"),
    h("div", {class: "row"}, h("label", {class: "option"}, "Plan", choice), h("label", {class: "option"}, "or open a file", file)), body);
  const plan = wanted && await attempt(`/api/plan?${query({name: wanted})}`);
  if (plan) body.replaceChildren(...chart(plan));
  else body.replaceChildren(h("p", {class: "quiet"}, "Who does what, and when: ", h("code", {}, "python -m experiments.assignments --backlog=... --team=... --out=plan.json"), " writes a plan; those in the runs folder are listed here, others are opened from anywhere."));
  return {element};
}

function chart({planner, proven, chart: {length, marks, rows, bars, risks}}) {
  const reason = h("p", {class: "card", role: "status"}, "Choose a task: why it is done by whom and when stands here, and what it waits for is marked.");
  const buttons = new Map(bars.map(bar => [bar.task, []]));
  const share = tick => `${(100 * Math.min(tick, length) / length).toFixed(3)}%`;

  function choose(bar) {
    reason.textContent = about(bar);
    for (const [task, all] of buttons) {
      for (const one of all) {
        one.setAttribute("aria-pressed", String(task === bar.task));
        one.classList.toggle("linked", bar.waits_for.includes(task));
      }
    }
  }

  function draw(bar) {
    const words = [bar.critical && "critical", bar.late && "late"].filter(Boolean);
    const button = h("button", {type: "button", class: ["task", ...words].join(" "), title: about(bar), "aria-pressed": "false",
      "aria-label": [bar.title, bar.times, ...words].join(", "), onclick: () => choose(bar), onfocus: () => choose(bar)}, h("span", {}, bar.title));
    button.style.left = share(bar.start);
    button.style.width = share(bar.end - bar.start);
    buttons.get(bar.task).push(button);
    if (bar.due === null) return [button];
    const due = h("i", {class: "due", "aria-hidden": "true"});
    due.style.left = share(bar.due);
    return [button, due];
  }

  const scale = h("div", {class: "scale"}, marks.map((mark, i) => {
    const text = h("span", {class: i === 0 ? "first" : i === marks.length - 1 ? "last" : ""}, mark);
    text.style.left = `${100 * i / (marks.length - 1)}%`;
    return text;
  }));
  const lanes = rows.map(row => {
    const filled = h("i");
    filled.style.width = `${Math.min(100, 100 * row.load)}%`;
    return h("div", {class: "lane-row", role: "group", "aria-label": row.name}, h("span", {class: "who"}, row.name),
      h("div", {class: "lane"}, bars.filter(bar => bar.people.includes(row.person) && bar.end > bar.start).flatMap(draw)),
      h("span", {class: "bar", title: `works ${Math.round(100 * row.load)} % of the time`}, filled));
  });
  const late = bars.filter(bar => bar.late).length;
  const summary = [`${bars.length} tasks, ${rows.length} people`, planner && `by ${planner}${proven ? ", proven to be the best" : ""}`, late ? `${late} late` : "none late", `${bars.filter(bar => bar.critical).length} critical`];
  const own = bars.filter(bar => !bar.people.length || bar.end === bar.start);
  return [h("p", {class: "quiet"}, summary.filter(Boolean).join(" · ")),
    h("p", {class: "small key"}, h("i", {class: "task"}), "has slack", h("i", {class: "task critical"}), "critical: a delay moves the end", h("i", {class: "task late"}), "late", h("i", {class: "due"}), "due"),
    h("div", {class: "card scroll plan", tabindex: "0", role: "region", "aria-label": "Plan"}, h("div", {class: "lane-row"}, h("span"), scale, h("span", {class: "small quiet"}, "load")), lanes),
    reason,
    own.length ? h("details", {class: "card"}, h("summary", {}, `Milestones, and tasks that need nobody (${own.length})`), h("ul", {}, own.map(bar => h("li", {}, about(bar))))) : null,
    risks.length ? h("section", {class: "card stack"}, h("h2", {}, "Risks"), h("ul", {}, risks.map(risk => h("li", {}, risk)))) : null,
    h("details", {class: "card"}, h("summary", {}, "All tasks and reasons"), h("ul", {}, bars.map(bar => h("li", {}, about(bar)))))].filter(Boolean);
}
