import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { dequantize } from '#shared/model/dequantize.ts';
import { quantizedWeight, readMatrix, toFloat32, weightFinder } from '#shared/model/quantized-weights.ts';
import { tensorDims } from '#shared/model/tensor-bytes.ts';
import { openModelText } from '#shared/text/model-text.ts';
import { openModel, type OpenedModel } from '../../../../signal-server/import/open-model.ts';
import { engineOf, greedyTokens } from '../../../support/opened-engine.ts';
import { conversations } from '../../../support/prompts.ts';
import { repetitions } from '../../../support/effort.ts';
import { tensorOf, writeSafetensors, type WrittenTensor } from '../../../support/write-safetensors.ts';

const wren = 'models/wren';
const positions = 256;

/** The weights of an export, unfolded, by the names that transformers gives them. */
function tensorsOf({ file }: OpenedModel): WrittenTensor[] {
  const { graph } = file.model;
  const find = weightFinder(graph);
  const products = graph.node
    .filter(({ opType }) => opType === 'MatMulNBits')
    .map((node) => {
      const weight = quantizedWeight(node, find);
      const name = node.name
        .replace(/^\/(.*)\/MatMul_Q8$/, '$1.weight')
        .replaceAll('/', '.')
        .replace('.attn.', '.self_attn.');
      return tensorOf(name, 'F32', [weight.rows, weight.columns], dequantize(readMatrix(weight, file.read), false));
    });
  const floats = graph.initializer
    .filter(({ name }) => /^model\..*(layernorm|embed_tokens)\.weight$/.test(name))
    .map((tensor) => {
      const name = tensor.name.replace(/^model\.layers\.\d+\.final_norm_layernorm/, 'model.norm');
      return tensorOf(name, 'F32', tensorDims(tensor), toFloat32(tensor, file.read));
    });
  return [...floats, ...products];
}

test(
  'Wren answers alike from its ONNX graph and from safetensors of the same weights',
  { timeout: 60_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'chorus-both-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const open = (path: string, quant: string) =>
      openModel(path, { quant, maxPositions: positions, onReading: () => undefined }, []);
    const exported = await open(wren, 'q8');
    await writeSafetensors(join(folder, 'model.safetensors'), tensorsOf(exported));
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      await copyFile(join(wren, name), join(folder, name));
    const config = JSON.parse(await readFile(join(wren, 'config.json'), 'utf8')) as object;
    // Of its q8 export the head was rounded and the table was not.
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: false }));
    const published = await open(folder, 'fp32');
    const [one, other] = [await engineOf(exported, positions), await engineOf(published, positions)];
    const text = openModelText(exported.folder.tokenizer, exported.folder.tokenizerConfig);
    const asked = conversations.filter((_, i) => i % repetitions(16, 1) === 0);
    for (const messages of asked) {
      const prompt = text.encodePrompt(text.chatPrompt([...messages])).slice(0, 200);
      expect(await greedyTokens(other, prompt, 24)).toEqual(await greedyTokens(one, prompt, 24));
    }
    exported.file.close();
    published.file.close();
  },
);
