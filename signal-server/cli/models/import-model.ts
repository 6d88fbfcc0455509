import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { webAddressSchema } from '#shared/model/model-source.ts';
import type { Quantization } from '../../import/graph-file.ts';
import { planImport } from '../../import/model-plan.ts';
import { locateFolder, readModelFolder } from '../../import/model-folder.ts';
import { openDataFolder } from '../../machine/data-folder.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { importIntoFolder } from './import-into-folder.ts';

interface ImportModelOptions {
  readonly quant?: Quantization;
  readonly origin?: string;
  readonly signer?: string;
  readonly plan?: boolean;
  readonly data: string;
}

export function defineImportModel(command: Command): void {
  command
    .argument('<folder>', 'folder with config.json, tokenizer.json and onnx/')
    .addOption(
      new Option('--quant <kind>', 'which of the folder’s variants').choices(['q4', 'q8', 'q4f16', 'fp16', 'fp32']),
    )
    .addOption(
      new Option('--origin <url>', 'page where the folder comes from, else what its card says').argParser(webAddress),
    )
    .option('--signer <file>', 'public key, as PEM, that the folder’s model.sig must be by')
    .option('--plan', 'only say what the model would need of volunteers, and import nothing')
    .option('--data <folder>', 'data folder of the server', 'data')
    .action(async (folder: string, options: ImportModelOptions) => {
      const { quant, origin, signer } = options;
      if (options.plan === true) {
        process.stdout.write(`${await planImport(resolve(folder), { quant })}\n`);
        return;
      }
      const publisherKey = signer === undefined ? undefined : await readFile(signer, 'utf8');
      // Before a data folder is made for nothing.
      await readModelFolder(await locateFolder(folder));
      const dataFolder = await openFolder(options.data, openDataFolder(options.data));
      const { report, digest } = await importIntoFolder(dataFolder, resolve(folder), { quant, origin, publisherKey });
      process.stdout.write(`${report}\nmanifest ${digest}\na running server offers it within seconds\n`);
    });
}

function webAddress(text: string): string {
  const address = webAddressSchema.safeParse(text);
  if (!address.success) throw new InvalidArgumentError('Expected an http(s) URL.');
  return address.data;
}
