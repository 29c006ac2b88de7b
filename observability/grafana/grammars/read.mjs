// Reads queries from standard input, [{source, name, query}], and writes those that their language's grammar finds wrong.
// The grammars mend what they can, as an editor must: what they had to mend is an error node of the tree.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const parsers = {
  loki: require("@grafana/lezer-logql").parser,
  tempo: require("@grafana/lezer-traceql").parser,
};

const troubles = [];
for (const { source, name, query } of JSON.parse(readFileSync(0, "utf8"))) {
  parsers[source].parse(query).iterate({
    enter(node) {
      if (node.type.isError) troubles.push(`${name}: ${query.slice(0, node.from)} <here> ${query.slice(node.from)}`);
    },
  });
}
process.stdout.write(JSON.stringify(troubles));
