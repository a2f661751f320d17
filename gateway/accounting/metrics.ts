// Prometheus metrics; labels are closed sets only (route, model from configuration, code, issuer name).

export interface Metrics {
  /** The text exposition and its content type. */
  render(): Promise<{ contentType: string; body: string }>;
}
