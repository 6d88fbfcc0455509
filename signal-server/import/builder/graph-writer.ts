import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  TensorProtoSchema,
  type AttributeProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { externalTensor } from '#shared/model/fold.ts';
import { GGUF_DOMAIN } from '#shared/model/gguf-weight.ts';
import { createNode, floatOf, intOf, intsOf } from '#shared/model/node-attributes.ts';
import type { OnnxModel } from '#shared/model/onnx-file.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';
import { ONNX_INT64, tensorByteLength } from '#shared/model/tensor-bytes.ts';

type AttributeValue = number | readonly number[] | { readonly float: number } | { readonly text: string };

const contrib = new Set([
  'MatMulNBits',
  'GatherBlockQuantized',
  'GroupQueryAttention',
  'SkipSimplifiedLayerNormalization',
]);
const domainOf = (opType: string): string =>
  opType.startsWith('Gguf') ? GGUF_DOMAIN : contrib.has(opType) ? 'com.microsoft' : '';

/** A graph with a way to its weights. */
export interface WrittenGraph {
  readonly model: OnnxModel;
  readonly read: ReadWeight;
  /** How far rounding took a weight from its file (`MatrixWeight`), once it was read; null where it was not rounded. */
  readonly relativeError: (name: string) => number | null;
}

/** An ONNX graph, written node by node; its weights are read when they are asked for. */
export class GraphWriter {
  readonly #nodes: NodeProto[] = [];
  readonly #weights: TensorProto[] = [];
  readonly #readers = new Map<string, () => Uint8Array>();
  readonly #errors = new Map<string, () => number | null>();

  /** Adds a node; answers the name of its first output. */
  node(
    opType: string,
    name: string,
    input: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    output: readonly string[] = [`${name}/output_0`],
  ): string {
    const attribute = Object.entries(attributes).map(([key, value]) => attributeOf(key, value));
    this.#nodes.push(
      createNode(opType, { name, domain: domainOf(opType), input: [...input], output: [...output], attribute }),
    );
    return output[0] ?? '';
  }

  /** Adds a weight whose bytes are read later, as many as its shape says. */
  weight(
    name: string,
    dataType: number,
    dims: readonly number[],
    read: () => Uint8Array,
    relativeError?: () => number | null,
  ): string {
    const tensor = externalTensor(name, dataType, dims, 'built', 0, 0);
    this.#weights.push(tensor);
    this.#readers.set(name, () => {
      const bytes = read();
      if (bytes.length !== tensorByteLength(tensor))
        throw new RangeError(`${name} has ${bytes.length} bytes, its shape asks for ${tensorByteLength(tensor)}`);
      return bytes;
    });
    if (relativeError !== undefined) this.#errors.set(name, relativeError);
    return name;
  }

  /** A constant, there once however often it is asked for. */
  ints(values: readonly number[], isScalar = false): string {
    const name = `/model/constants/INT64/${isScalar ? values.join() : `[${values.join()}]`}`;
    if (this.#weights.some((tensor) => tensor.name === name)) return name;
    const dims = isScalar ? [] : [BigInt(values.length)];
    const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.#weights.push(create(TensorProtoSchema, { name, dataType: ONNX_INT64, dims, rawData }));
    return name;
  }

  finish(input: readonly ValueInfoProto[], output: readonly ValueInfoProto[]): WrittenGraph {
    const graph = {
      name: 'main_graph',
      node: this.#nodes,
      initializer: this.#weights,
      input: [...input],
      output: [...output],
    };
    const opsetImport = [
      { domain: '', version: 21n },
      { domain: 'com.microsoft', version: 1n },
      ...(this.#nodes.some(({ domain }) => domain === GGUF_DOMAIN) ? [{ domain: GGUF_DOMAIN, version: 1n }] : []),
    ];
    const model = create(ModelProtoSchema, { irVersion: 10n, opsetImport, producerName: 'chorus', graph });
    return {
      model: Object.assign(model, { graph: model.graph! }),
      read: (tensor) => this.#readers.get(tensor.name)?.() ?? tensor.rawData,
      relativeError: (name) => this.#errors.get(name)?.() ?? null,
    };
  }
}

function attributeOf(name: string, value: AttributeValue): AttributeProto {
  if (typeof value === 'number') return intOf(name, value);
  if (!('float' in value || 'text' in value)) return intsOf(name, value);
  if ('float' in value) return floatOf(name, value.float);
  const type = AttributeProto_AttributeType.STRING;
  return create(AttributeProtoSchema, { name, type, s: new TextEncoder().encode(value.text) });
}
