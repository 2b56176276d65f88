import { PrometheusMetrics } from '#shared/metrics.ts'
import {
  agentMetrics,
  captureMetrics,
  consumerMetrics,
  matcherMetrics,
  producerMetrics,
  registryMetrics,
  resolverMetrics,
  storeMetrics,
} from '#shared/service-metrics.ts'

/** What all services show, in one. */
export function everyMetric(): PrometheusMetrics {
  const metrics = new PrometheusMetrics('matcher', '0')
  producerMetrics(metrics)
  consumerMetrics(metrics, 'matcher', ['packets'], 1)
  captureMetrics(metrics, 'eth0', ['truncated'])
  agentMetrics(metrics)
  matcherMetrics(metrics, ['no-agent'])
  resolverMetrics(metrics)
  storeMetrics(metrics)
  registryMetrics(metrics)
  return metrics
}
