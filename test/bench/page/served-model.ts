import { fromBase64 } from '#shared/bytes.ts';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import type { Digest } from '#shared/ids.ts';
import { manifestSchema, type Manifest } from '#shared/model/manifest.ts';
import { modelListSchema } from '#shared/wire/model-list.ts';

/** The first model of the server behind this page. */
export async function fetchServedModel(): Promise<{ manifest: Manifest; digest: Digest }> {
  const { models } = modelListSchema.parse(await (await fetch('/api/models')).json());
  const digest = models[0]?.digest;
  if (digest === undefined) throw new Error('the server has no model');
  const envelope = envelopeSchema.parse(await (await fetch(`/api/models/${digest}`)).json());
  const manifest = manifestSchema.parse(JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload))));
  return { manifest, digest };
}
