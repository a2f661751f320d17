// The model server's section of config/sallyport.yaml. It listens on a Unix socket unless told otherwise: nobody but
// the gateway has business with it.
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { listenAddress } from '../core/address.ts';
import { publicKeyFiles } from '../core/assertion.ts';

/** One thread fewer than there are cores: llama.cpp's threads spin at barriers and collapse when one core is taken. */
export function defaultThreads(cores = availableParallelism()): number {
  return Math.max(1, cores - 1);
}

const model = z
  .strictObject({
    /** The GGUF file; relative to the folder in which the command runs. */
    path: z.string().min(1),
    /** Prompt and completion together, per request, in model tokens; at most what the model was trained on. */
    context: z.int().min(16).max(1_048_576).optional(),
    /** Requests decoded together, per engine. Each holds the memory of one context: 18 MiB for GPT-2 at 512 tokens. */
    sequences: z.int().min(1).max(64).default(6),
    /**
     * Engine processes of this model; the file is in memory once, contexts are not. On two cores two
     * engines of one thread answer nearly twice as much as one; two threads do not.
     */
    engines: z.int().min(1).max(64).default(1),
    /**
     * Model tokens of prompts read in one step while others generate: less makes their pauses shorter (128 by a third), more
     * reads long prompts in fewer steps (128 costs a seventh more per token).
     */
    prompt_chunk: z.int().min(16).max(512).default(256),
    /**
     * How long the state of an answered request is kept for the next prompt of the same principal and client that begins
     * alike; nobody else ever builds on it. 0: nothing is kept.
     */
    keep_prefix_ms: z.int().min(0).max(86_400_000).default(300_000),
    /** Threads of each engine of this model; absent: `model_server.threads`, shared out among its engines. */
    threads: z.int().min(1).max(256).optional(),
    /** Candidates sampled from when a request names no `top_k`; 0: all. 40 is what GPT-2's own samples used. */
    default_top_k: z.int().min(0).max(1000).default(40),
    /** `auto` lets llama.cpp use a GPU whose package is installed (docs/how-to/gpu.md). */
    gpu: z.enum(['off', 'auto', 'cuda', 'vulkan', 'metal']).default('off'),
    /**
     * The processor whose kernels llama.cpp uses without a GPU; `auto`: the newest that runs here, which is not always the
     * fastest (docs/performance-model-server.md, "Kernels"). On Linux alone: `alderlake`, `haswell`, `zen4` and others.
     */
    cpu_kernels: z
      .string()
      .regex(/^[a-z0-9]{1,32}$/, 'auto, or a processor such as alderlake')
      .default('auto'),
  })
  .refine((settings) => settings.cpu_kernels === 'auto' || settings.gpu === 'off', {
    path: ['cpu_kernels'],
    message: 'kernels of a CPU are chosen only with `gpu: off`',
  });
/** One model and how its engine process runs it. */
export type ModelConfig = z.output<typeof model>;

/** Schema of `model_server`. */
export const modelServerConfigSchema = z.strictObject({
  /** Where the gateway connects; a Unix socket is for this account alone. */
  listen: listenAddress.prefault('unix:data/run/model.sock'),
  /** Certificate and key, PEM files, for a TCP address. */
  tls: z
    .strictObject({
      cert: z.string().min(1).describe('PEM file.'),
      key: z.string().min(1).describe('PEM file.'),
    })
    .optional(),
  /** Permits plain HTTP beyond loopback: everybody on the path can read prompts and completions. */
  insecure_plain_http: z.boolean().default(false),
  /** Public keys of the gateway's assertions, written by the gateway; with several gateways a list, one file for each. */
  gateway_jwks: publicKeyFiles.default('data/run/gateway-jwks.json'),
  /** Id in the API → the model. Each runs in engine processes of its own. */
  models: z.record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, 'a model id is 1 to 128 of A-Z a-z 0-9 . _ : -'),
    model,
  ),
  /**
   * Threads per model, shared out among its engines. The default leaves a core free, on purpose: llama.cpp's threads wait for one another by
   * spinning, and with more threads than free cores speed collapses (measured beside one busy process on 2 cores:
   * 1,000 tokens/s with 1 thread, 1 token/s with 2). Use further cores with further `engines`.
   */
  threads: z
    .int()
    .min(1)
    .max(256)
    .default(() => defaultThreads()),
  /** Completions that may wait for a sequence, per model; beyond it a request is answered 503 with Retry-After. */
  max_queue: z.int().min(0).max(10_000).default(32),
  /** Completions (prompts × `n`) that one request may ask for. */
  max_choices: z.int().min(1).max(128).default(16),
  /** Texts in one embeddings request. */
  max_inputs: z.int().min(1).max(2048).default(256),
  /** Bytes of a request body. */
  max_body_bytes: z.int().min(1024).max(67_108_864).default(1_048_576),
  /** Silence after which a stream sends a `: ping` comment, so that proxies between keep it open. */
  heartbeat_ms: z.int().min(10).max(300_000).default(15_000),
  /** How long a stop waits for running completions. */
  drain_ms: z.int().min(0).max(600_000).default(10_000),
});
/** Threads of one engine: more threads than cores over all engines would spin in vain. */
export function threadsOfEngine(
  model: Pick<ModelConfig, 'threads' | 'engines'>,
  { threads }: { readonly threads: number },
): number {
  return model.threads ?? Math.max(1, Math.floor(threads / model.engines));
}

/** The validated section. */
export type ModelServerConfig = z.output<typeof modelServerConfigSchema>;
