// Metrics of a gateway with several workers: each worker counts for itself, the primary adds them up when it is asked.
import { AggregatorRegistry, type Registry } from 'prom-client';

/** In a worker: lets the primary read this registry over the cluster's channel. */
export function shareWithPrimary(registry: Registry): void {
  AggregatorRegistry.setRegistries([registry]);
  new AggregatorRegistry(); // Constructing one makes the worker listen for the primary's question.
}

/** In the primary: the sum over all workers. */
export function createPrimaryMetrics(): { render(): Promise<{ contentType: string; body: string }> } {
  const registry = new AggregatorRegistry();
  return {
    render: async () => ({ contentType: registry.contentType, body: await registry.clusterMetrics() }),
  };
}
