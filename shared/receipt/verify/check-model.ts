import { digestOf } from '../../crypto/identity.ts';
import { parseJsonBytes } from '../../crypto/strict-envelope.ts';
import { manifestSchema } from '../../model/manifest.ts';
import { checkModelSource } from '../../model/model-source.ts';
import { demand, type CheckReceipt } from './check.ts';

/** The receipt says the same of its model as the model's manifest, and no signature in that is false. */
export const checkModel: CheckReceipt = async ({ predicate: { model }, holdings: { manifest, verify } }) => {
  if (manifest === undefined)
    return { notChecked: `no manifest was given; it must have SHA-256 ${model.manifest.sha256}` };
  demand(digestOf(manifest) === model.manifest.sha256, 'this is not the manifest that the receipt names');
  const parsed = manifestSchema.safeParse(parseJsonBytes(manifest));
  demand(parsed.success, 'the manifest that the receipt names is none that can be read');
  const { name, source, config, pins } = parsed.data;
  const pairs: readonly (readonly [string, string | number, string | number])[] = [
    ['name', model.name, name],
    ['root', model.root.sha256, source.root],
    ['layers', model.layers, config.layers],
    ['hidden size', model.hiddenSize, config.hiddenSize],
    ['quantization', model.quantization, pins.quantization],
    ['runtime', model.runtime.name, pins.runtime],
    ['runtime version', model.runtime.version, pins.runtimeVersion],
  ];
  for (const [what, said, has] of pairs) demand(said === has, `the ${what} is ${said}, in the manifest ${has}`);
  const signed = SIGNED[await checkModelSource(source, verify)];
  return `the manifest says the same of ${name} (${pins.quantization}) from files with root ${source.root}, ${signed}`;
};

const SIGNED = {
  signed: 'signed by the key in it',
  unchecked: 'with a signature that is not checked here',
  unsigned: 'which nobody signed',
} as const;
