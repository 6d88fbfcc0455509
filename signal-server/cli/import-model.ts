import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { openDataFolder } from '../data-folder.ts';
import type { Quantization } from '../import/graph-file.ts';
import { importIntoFolder } from './import-into-folder.ts';

export function addImportModelCommand(program: Command): void {
  program
    .command('import-model')
    .description('cut a Hugging Face style model folder into blobs and sign its manifest')
    .argument('<folder>', 'folder with config.json, tokenizer.json and onnx/')
    .addOption(
      new Option('--quant <kind>', 'which of the folder’s variants').choices(['q4', 'q8', 'q4f16', 'fp16', 'fp32']),
    )
    .option('--data <folder>', 'data folder of the server', 'data')
    .action(async (folder: string, options: { quant?: Quantization; data: string }) => {
      const dataFolder = await openDataFolder(options.data);
      const { report, digest } = await importIntoFolder(dataFolder, resolve(folder), options.quant);
      process.stdout.write(`${report}\nmanifest ${digest}\na running server offers it within seconds\n`);
    });
}
