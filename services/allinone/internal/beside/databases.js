// Answers SQL, a JSON object on a line: {"sql": "…"} gets {"ms": 1.5, "rows": "a\tb\n…"} or {"error": "…"}.
// node databases.js clickhouse DIRECTORY | duckdb FILE
const engines = {
  clickhouse: (place) => {
    const { Session } = require('chdb');
    const session = new Session(place);
    return (sql) => session.query(sql, 'TSV');
  },
  duckdb: async (place) => {
    const { DuckDBInstance } = require('@duckdb/node-api');
    const connection = await (await DuckDBInstance.create(place)).connect();
    return async (sql) => (await connection.runAndReadAll(sql)).getRows().map((row) => row.join('\t')).join('\n');
  },
};

async function main() {
  const [engine, place] = process.argv.slice(2);
  const query = await engines[engine](place);
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    let answer;
    try {
      const start = process.hrtime.bigint();
      const rows = await query(JSON.parse(line).sql);
      answer = { ms: Number(process.hrtime.bigint() - start) / 1e6, rows };
    } catch (e) {
      answer = { error: String(e.message ?? e) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  process.exit(0); // the engines' threads would stay
}
main();
