import { writeFile } from 'node:fs/promises';
import { format } from 'oxfmt';
import { z } from 'zod';
import { attestationSchema } from '../shared/receipt/evidence/attestation.ts';
import { receiptFileSchema, receiptStatementSchema } from '../shared/receipt/receipt.ts';

const schemas = {
  'receipt-v1.json': { title: 'Chorus receipt: the in-toto Statement in its envelope', form: receiptStatementSchema },
  'attestation-v1.json': {
    title: 'Chorus stage attestation: the in-toto Statement of a replica',
    form: attestationSchema,
  },
  'receipt-file-v1.json': { title: 'Chorus receipt file', form: receiptFileSchema },
};
export const schemaNames = Object.keys(schemas) as (keyof typeof schemas)[];

/** The JSON Schema (draft 2020-12) of what is read as a receipt, as its file has it. Fields it does not name are let through. */
export async function schemaText(name: keyof typeof schemas): Promise<string> {
  const { title, form } = schemas[name];
  const { $schema, ...rest } = z.toJSONSchema(form, { io: 'input', target: 'draft-2020-12' });
  const { code } = await format(name, JSON.stringify({ $schema, title, ...rest }), { printWidth: 120 });
  return code;
}

if (process.argv[1]?.endsWith('receipt-schema.ts')) {
  for (const name of schemaNames)
    await writeFile(new URL(`../docs/schemas/${name}`, import.meta.url), await schemaText(name));
}
