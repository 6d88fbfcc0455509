import { ChorusError } from '#shared/errors.ts';
import { chooseGguf } from '../gguf/choose-gguf.ts';
import { chooseGraph } from '../graph-file.ts';
import { roundingWished } from '../safetensors/rounding.ts';
import { hasSafetensors, INDEX_FILE, SINGLE_FILE } from '../safetensors/safetensors-folder.ts';
import type { HubFile } from './hub-repository.ts';

const TEXTS = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'README.md',
];
const NEEDED = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];

/**
 * The files that a model is made of: its ONNX graph of the wished kind with the weights beside it, or a GGUF file, or safetensors,
 * with the texts that belong to it. Throws `unsupported-model` naming what is there instead.
 */
export function chooseFiles(files: readonly HubFile[], wish: string | undefined): HubFile[] {
  const paths = files.map(({ path }) => path);
  const graphs = paths.filter((path) => /^(onnx\/)?[^/]+\.onnx$/.test(path));
  const hasTexts = NEEDED.every((name) => paths.includes(name));
  const isGguf = paths.some((path) => /\.gguf$/i.test(path));
  if (hasTexts && graphs.length > 0 && !(isGguf && wish !== undefined && /^(I?Q\d_|BF16|F\d)/i.test(wish))) {
    const { path: graph } = chooseGraph({ graphs }, wish);
    // Weights lie in `model.onnx_data`, `model.onnx_data_1` and so on, or in `model.onnx.data`.
    const own = files.filter(
      ({ path }) => path === graph || path.startsWith(`${graph}_data`) || path === `${graph}.data`,
    );
    return [...own, ...named(files, TEXTS)];
  }
  if (isGguf) {
    const chosen = chooseGguf(
      paths.filter((path) => !path.includes('/')),
      wish,
    );
    return named(files, [chosen, 'README.md']);
  }
  if (hasTexts && hasSafetensors(paths)) {
    roundingWished(wish);
    // Names of shards begin with the model's; other files of tensors are other models.
    const shards = paths.filter((path) => /^model(-\d+-of-\d+)?\.safetensors$/.test(path));
    return named(files, [...(paths.includes(INDEX_FILE) ? [INDEX_FILE, ...shards] : [SINGLE_FILE]), ...TEXTS]);
  }
  const there = paths.length === 0 ? 'no file' : paths.slice(0, 20).join(', ');
  throw new ChorusError(
    'unsupported-model',
    `the repository has neither ONNX graphs or safetensors with a tokenizer nor a GGUF file; it has ${there}`,
  );
}

function named(files: readonly HubFile[], names: readonly string[]): HubFile[] {
  return files.filter(({ path }) => names.includes(path));
}
