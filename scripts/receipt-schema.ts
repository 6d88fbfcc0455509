import { writeFile } from 'node:fs/promises';
import { format } from 'oxfmt';
import { z } from 'zod';
import { manifestSchema } from '../shared/model/manifest.ts';
import { secretsSchema } from '../shared/receipt/build/receipt-secrets.ts';
import { attestationSchema, formerAttestationSchema } from '../shared/receipt/evidence/attestation.ts';
import { formerStatementSchema } from '../shared/receipt/former-receipt.ts';
import { receiptFileSchema, receiptStatementSchema } from '../shared/receipt/receipt.ts';
import { routeSchema } from '../shared/route/route.ts';

const schemas = {
  'receipt-v2.json': { title: 'Chorus receipt: the in-toto Statement in its envelope', form: receiptStatementSchema },
  'receipt-v1.json': { title: 'Chorus receipt of version 1, which is no longer written', form: formerStatementSchema },
  'attestation-v2.json': {
    title: 'Chorus stage attestation: the in-toto Statement of a replica',
    form: attestationSchema,
  },
  'attestation-v1.json': {
    title: 'Chorus stage attestation of version 1, which is no longer written',
    form: formerAttestationSchema,
  },
  'receipt-file.json': { title: 'Chorus receipt file', form: receiptFileSchema },
  'receipt-secrets-v2.json': { title: 'Chorus receipt: the secrets that its requester keeps', form: secretsSchema },
  'route.json': { title: 'Chorus route, as the server signs it', form: routeSchema },
  'manifest.json': { title: 'Chorus manifest of a model, as it is signed', form: manifestSchema },
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
