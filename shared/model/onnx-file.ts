import { fromBinary, ScalarType, toBinary, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { ModelProtoSchema, type GraphProto, type ModelProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';

/** A graph of 256 layers has about 10,000 nodes, each with a handful of attributes, and as many weights. */
const MAX_MESSAGES = 400_000;
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
/** Numbers kept as protobuf fields each become a JavaScript value; published graphs keep weights as raw bytes. */
const MAX_NUMBER_BYTES = 1024 * 1024;
const MAX_DEPTH = 12;

export type OnnxModel = ModelProto & { graph: GraphProto };

/**
 * An ONNX ModelProto (https://onnx.ai/onnx/repo-docs/IR.html); its byte fields are views into `bytes`. Everything in
 * `bytes` may be hostile: counts are checked before anything is allocated for them.
 * Throws `bad-model` for what is not a well-formed ModelProto with a graph, or is absurdly big or deep.
 */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  try {
    measureMessage(ModelProtoSchema, new BinaryReader(bytes), bytes.length, createCount(), 0);
    const model = fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
    const { graph } = model;
    if (graph === undefined) throw new ChorusError('bad-model', 'the model file holds no graph');
    return Object.assign(model, { graph });
  } catch (error) {
    if (error instanceof ChorusError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ChorusError('bad-model', `the model file is not a well-formed ONNX protobuf: ${reason}`);
  }
}

export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  return toBinary(ModelProtoSchema, model);
}

interface Count {
  messages: number;
  textBytes: number;
  numberBytes: number;
  readonly fields: Map<DescMessage, Map<number, DescField>>;
}

function createCount(): Count {
  return { messages: 0, textBytes: 0, numberBytes: 0, fields: new Map() };
}

/** Walks the wire format along the schema without building anything: a small file must not become a big heap. */
function measureMessage(schema: DescMessage, reader: BinaryReader, end: number, count: Count, depth: number): void {
  if (depth > MAX_DEPTH) throw new ChorusError('bad-model', 'the model file nests too deeply');
  if (++count.messages > MAX_MESSAGES) throw new ChorusError('bad-model', 'the model file holds too many nodes');
  let fields = count.fields.get(schema);
  if (fields === undefined) {
    fields = new Map(schema.fields.map((field) => [field.number, field]));
    count.fields.set(schema, fields);
  }
  while (reader.pos < end) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (field?.message && wireType === WireType.LengthDelimited) {
      const length = reader.uint32();
      if (length > end - reader.pos) throw new ChorusError('bad-model', 'the model file is cut short');
      measureMessage(field.message, reader, reader.pos + length, count, depth + 1);
      continue;
    }
    reader.skip(wireType, number);
    const isText = field?.scalar === ScalarType.STRING;
    const isBytes = field?.scalar === ScalarType.BYTES;
    if (isText) count.textBytes += reader.pos - start;
    else if (!isBytes) count.numberBytes += reader.pos - start;
    // A repeated bytes field (string_data) makes one view for each few bytes of file.
    else if (field.fieldKind === 'list') count.numberBytes += 16;
    if (count.textBytes > MAX_TEXT_BYTES || count.numberBytes > MAX_NUMBER_BYTES) {
      throw new ChorusError('bad-model', 'the model file holds too many names, or numbers outside raw data');
    }
  }
  if (reader.pos !== end) throw new ChorusError('bad-model', 'the model file is cut short');
}
