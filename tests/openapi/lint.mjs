// Lints an OpenAPI document by Redocly's recommended rules: node lint.mjs FILE
import { createConfig, formatProblems, lint } from '@redocly/openapi-core';

try {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lint({ ref: process.argv[2], config });
  const totals = { errors: problems.length, warnings: 0, ignored: 0 };
  formatProblems(problems, { totals, version: '1' });
  process.exitCode = problems.length > 0 ? 1 : 0;
} catch (error) {
  console.error(error.message); // not YAML, say
  process.exitCode = 1;
}
