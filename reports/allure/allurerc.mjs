// Allure 3: one environment for each cloud, and the history of earlier runs beside the report.
import { readdirSync, readFileSync } from "node:fs";

const out = process.cwd(); // reports/out, from where pytest_crosscloud/report/allure.py starts Allure

const clouds = new Set();
for (const name of readdirSync(`${out}/allure-results`).filter((name) => name.endsWith("-result.json"))) {
  const { labels = [] } = JSON.parse(readFileSync(`${out}/allure-results/${name}`, "utf8"));
  for (const label of labels) if (label.name === "cloud") clouds.add(label.value);
}

export default {
  name: "Cross-cloud CI",
  output: `${out}/allure`,
  historyPath: `${out}/allure-history.jsonl`,
  historyLimit: 90,
  appendHistory: true,
  environments: Object.fromEntries(
    [...clouds].sort().map((cloud) => [
      cloud,
      { matcher: ({ labels }) => labels.some(({ name, value }) => name === "cloud" && value === cloud) },
    ]),
  ),
  plugins: {
    // One file, because a browser does not let a page that was opened from a disk fetch others.
    awesome: { options: { reportName: "Cross-cloud CI", singleFile: true, groupBy: ["parentSuite", "suite"] } },
  },
};
