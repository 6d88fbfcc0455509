import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ChorusError } from '#shared/errors.ts';
import { MAX_POSITIONS } from '#shared/limits.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import { webAddressSchema } from '#shared/model/model-source.ts';
import { isHubSource } from '../../import/hub/hub-source.ts';
import { planImport } from '../../import/model-plan.ts';
import { demandModel } from '../../import/open-model.ts';
import { openDataFolder } from '../../machine/data-folder.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { importIntoFolder } from './import-into-folder.ts';

interface ImportModelOptions {
  readonly quant?: string;
  readonly name?: string;
  readonly maxPositions?: number;
  readonly origin?: string;
  readonly signer?: string;
  readonly plan?: boolean;
  readonly data: string;
}

export function defineImportModel(command: Command): void {
  command
    .argument('<source>', 'hf:OWNER/NAME[@REVISION], a GGUF file, or a folder with config.json, tokenizer.json and onnx/ or safetensors, or with GGUF files')
    .option('--quant <kind>', 'which of the variants: q4, q8, q4f16, fp16 or fp32, or of GGUF files Q4_K_M and the like; what safetensors are rounded to: q8, q4, q4_1, q5_0, q5_1, fp16 or fp32 (default: q8)')
    .addOption(new Option('--name <name>', 'name of the model (default: that of its files)').argParser(modelNameOf))
    .addOption(
      new Option('--max-positions <count>', 'tokens of the longest conversation (default: 4096)').argParser(positions),
    )
    .addOption(
      new Option('--origin <url>', 'page where the folder comes from, else what its card says').argParser(webAddress),
    )
    .option('--signer <file>', 'public key, as PEM, that the folder’s model.sig must be by')
    .option('--plan', 'only say what the model would need of volunteers, and import nothing')
    .option('--data <folder>', 'data folder of the server', 'data')
    .action(async (source: string, options: ImportModelOptions) => {
      const { signer, data: _, plan, ...wishes } = options;
      if (plan === true) {
        if (isHubSource(source))
          throw new ChorusError('unsupported', '--plan looks at files that are here: give it a folder or a GGUF file');
        process.stdout.write(`${await planImport(resolve(source), wishes)}\n`);
        return;
      }
      const publisherKey = signer === undefined ? undefined : await readFile(signer, 'utf8');
      // Before a data folder is made for nothing.
      if (!isHubSource(source)) await demandModel(resolve(source));
      const dataFolder = await openFolder(options.data, openDataFolder(options.data));
      const { report, digest } = await importIntoFolder(dataFolder, isHubSource(source) ? source : resolve(source), { ...wishes, publisherKey });
      process.stdout.write(`${report}\nmanifest ${digest}\na running server offers it within seconds\n`);
    });
}

function modelNameOf(text: string): string {
  const name = manifestSchema.shape.name.safeParse(text);
  if (!name.success)
    throw new InvalidArgumentError('Expected up to 64 small letters, digits, dots, dashes and underscores.');
  return name.data;
}

function positions(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > MAX_POSITIONS)
    throw new InvalidArgumentError(`Expected a number from 1 to ${MAX_POSITIONS}.`);
  return count;
}

function webAddress(text: string): string {
  const address = webAddressSchema.safeParse(text);
  if (!address.success) throw new InvalidArgumentError('Expected an http(s) URL.');
  return address.data;
}
