import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { schemaNames, schemaText } from '../../scripts/receipt-schema.ts';

describe('the schemas in docs/schemas', () => {
  it.each(schemaNames)('are what is read: %s (else run npx tsx scripts/receipt-schema.ts)', async (name) => {
    expect(readFileSync(`docs/schemas/${name}`, 'utf8')).toBe(await schemaText(name));
  });
});
