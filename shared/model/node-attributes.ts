import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
  type AttributeProto,
  type NodeProto,
} from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { describeNode } from './operators.ts';

/** The node's attribute, or `fallback` if it is absent. Throws `bad-model` if it is no integer of up to 2^31. */
export function intAttribute(node: NodeProto, name: string, fallback: number): number {
  const attribute = node.attribute.find((candidate) => candidate.name === name);
  if (attribute === undefined) return fallback;
  const value = Number(attribute.i);
  if (attribute.type !== AttributeProto_AttributeType.INT || Math.abs(value) > 2 ** 31) {
    throw new ChorusError('bad-model', `${describeNode(node)}: the attribute ${name} is not a small integer`);
  }
  return value;
}

/** The node's attribute, or `fallback` if it is absent. Throws `bad-model` if it is no finite number. */
export function floatAttribute(node: NodeProto, name: string, fallback: number): number {
  const attribute = node.attribute.find((candidate) => candidate.name === name);
  if (attribute === undefined) return fallback;
  if (attribute.type !== AttributeProto_AttributeType.FLOAT || !Number.isFinite(attribute.f)) {
    throw new ChorusError('bad-model', `${describeNode(node)}: the attribute ${name} is not a finite number`);
  }
  return attribute.f;
}

/** Removes an attribute, which then takes its default. */
export function dropAttribute(node: NodeProto, name: string): void {
  node.attribute = node.attribute.filter((attribute) => attribute.name !== name);
}

export function intOf(name: string, value: number): AttributeProto {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) });
}

export function intsOf(name: string, values: readonly number[]): AttributeProto {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INTS, ints: values.map(BigInt) });
}

export function floatOf(name: string, value: number): AttributeProto {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value });
}

export function createNode(
  opType: string,
  init: Partial<Pick<NodeProto, 'name' | 'domain' | 'input' | 'output' | 'attribute'>>,
): NodeProto {
  return create(NodeProtoSchema, { opType, ...init });
}
