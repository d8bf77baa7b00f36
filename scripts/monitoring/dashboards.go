package main

// dashboards in the order in which somebody looks at them who is asked whether all is well.
func dashboards() []*dashboard { return []*dashboard{pipeline(), collector(), consumer(), queries()} }

func pipeline() *dashboard {
	return &dashboard{"maidian-pipeline", "Maidian: pipeline", "From the sender to the report: what goes through, what is lost, what is late.", []row{
		{"Is anything lost?", []panel{
			{"Events unaccounted for", "Accepted longer than ten minutes ago, and neither stored, nor duplicates, nor dead letters. More than 0 is a loss.", "short", at(1), true, []query{
				{"events", "max(maidian_query_unaccounted_events)"},
			}},
			{"Accepted and settled", "What goes in at collectors and comes out at consumers.", "eps", nil, false, []query{
				{"accepted", rate("maidian_collector_accepted_events_total", "")},
				{"{{outcome}}", rate("maidian_consumer_events_total", "outcome")},
			}},
			{"Dead letters and buried messages", "Events that could not be stored as they are, in an hour; messages that no consumer came to an end with.", "short", at(1), false, []query{
				{"dead letters", `sum(increase(maidian_consumer_events_total{outcome="dead"}[1h]))`},
				{"buried", "max(maidian_consumer_buried_messages)"},
			}},
		}},
		{"How long until an event is in the reports?", []panel{
			{"Received until visible", "By batch, from the earliest receipt.", "s", at(30), false, quantiles("maidian_query_follow_visible_seconds", "")},
			{"Received until stored", "By message, of its oldest event.", "s", at(60), false, quantiles("maidian_consumer_lag_seconds", "")},
			{"How old answers are", "Since the journal was last read to its end.", "s", at(30), false, []query{
				{"journal", "max(maidian_query_journal_age_seconds)"},
			}},
		}},
		{"Does anything pile up?", []panel{
			{"Messages in the queue", "With those in the hands of the consumer that says so.", "short", nil, false, []query{
				{"messages", "max(maidian_consumer_queue_messages)"},
			}},
			{"The oldest of them", "The most that it can have waited.", "s", at(300), false, []query{
				{"oldest", "max(maidian_consumer_queue_oldest_seconds)"},
			}},
			{"Waiting in collectors", "Bytes of events without their confirm.", "bytes", nil, false, []query{
				{"waiting", "sum(maidian_collector_waiting_bytes)"},
			}},
		}},
		{"Who is refusing?", []panel{
			{"Collectors, by reason", "Requests that were answered with an error.", "reqps", nil, false, []query{
				{"{{reason}}", rate("maidian_collector_refused_requests_total", "reason")},
			}},
			{"The broker, by reason", "Messages without their confirm: their senders got 503.", "short", at(0.1), false, []query{
				{"{{reason}}", rate("maidian_bus_failed_messages_total", "reason")},
				{"blocked sessions", "sum(maidian_bus_blocked_sessions)"},
			}},
			{"The store, by operation", "Calls that failed and are tried again.", "short", at(0.1), false, []query{
				{"{{operation}}", rate("maidian_consumer_store_retries_total", "operation")},
			}},
		}},
		{"Are alerts and forwarding behind?", []panel{
			{"Rules", "How far the rules' time is behind the clock, by project.", "s", at(120), false, []query{
				{"{{project}}", "max by (project) (maidian_alert_lag_seconds)"},
			}},
			{"Notices", "Attempts to tell people.", "short", nil, false, []query{
				{"{{type}} {{result}}", rate("maidian_notify_attempts_total", "type, result")},
			}},
			{"Destinations", "How long the oldest event waits that a destination does not have.", "s", at(600), false, []query{
				{"{{project}} {{destination}}", "max by (project, destination) (maidian_forward_lag_seconds)"},
			}},
		}},
		{"What runs here?", []panel{
			{"Services", "By version.", "short", nil, true, []query{
				{"{{service}} {{version}}", "count by (service, version) (maidian_build_info)"},
			}},
			{"Memory", "Resident, by service.", "bytes", nil, false, []query{
				{"{{service}}", "sum by (service) (process_resident_memory_bytes * on (job, instance) group_left (service) maidian_build_info)"},
			}},
			{"Processors", "Seconds of processor a second, by service.", "short", nil, false, []query{
				{"{{service}}", "sum by (service) (rate(process_cpu_seconds_total[$__rate_interval]) * on (job, instance) group_left (service) maidian_build_info)"},
			}},
		}},
	}}
}

func collector() *dashboard {
	return &dashboard{"maidian-collector", "Maidian: collector", "What senders see, and where their time goes.", []row{
		{"What do senders get?", []panel{
			{"Requests by status", "", "reqps", nil, false, []query{
				{"{{status}}", rate(`maidian_collector_request_seconds_count{route=~"/api/.*"}`, "status")},
			}},
			{"Requests by route", "", "reqps", nil, false, []query{
				{"{{route}}", rate("maidian_collector_request_seconds_count", "route")},
			}},
			{"Time to answer", "Of requests with events.", "s", at(1), false, quantiles("maidian_collector_request_seconds", `{route=~"/api/.*"}`)},
		}},
		{"Which events are not taken?", []panel{
			{"Accepted", "", "eps", nil, false, []query{
				{"accepted", rate("maidian_collector_accepted_events_total", "")},
			}},
			{"Rejected, by reason", "The code of an event's first problem.", "eps", nil, false, []query{
				{"{{reason}}", rate("maidian_collector_rejected_events_total", "reason")},
			}},
			{"Times corrected", "Clocks of devices that are slow or fast, and events of the future.", "eps", nil, false, []query{
				{"{{correction}}", rate("maidian_collector_time_corrections_total", "correction")},
				{"enrichment failed", rate("maidian_collector_enrichment_panics_total", "")},
			}},
		}},
		{"Is it the broker?", []panel{
			{"Time to the broker's confirm", "Of one message.", "s", at(1), false, quantiles("maidian_bus_confirm_seconds", "")},
			{"Time from a message's first event to its confirm", "With the time that it gathered.", "s", at(1), false, quantiles("maidian_collector_publish_seconds", `{outcome="confirmed"}`)},
			{"In flight", "Messages published and not confirmed, and the sessions that they go by.", "short", nil, false, []query{
				{"messages", "sum(maidian_bus_in_flight_messages)"},
				{"sessions", "sum(maidian_bus_publish_sessions)"},
				{"blocked sessions", "sum(maidian_bus_blocked_sessions)"},
			}},
		}},
		{"Does the broker refuse or lose us?", []panel{
			{"Not confirmed, by reason", "", "short", at(0.1), false, []query{
				{"{{reason}}", rate("maidian_bus_failed_messages_total", "reason")},
				{"returned", rate("maidian_bus_returned_messages_total", "")},
			}},
			{"Blocked", "Seconds a second, added up over sessions.", "s", at(0.1), false, []query{
				{"blocked", rate("maidian_bus_blocked_seconds_total", "")},
			}},
			{"Sessions lost", "", "short", nil, false, []query{
				{"lost", rate("maidian_bus_publish_reconnects_total", "")},
			}},
		}},
		{"Is it too much for collectors?", []panel{
			{"Requests in work", "And those sent away because there were too many.", "short", nil, false, []query{
				{"in work", "sum(maidian_collector_working_requests)"},
				{"sent away a second", rate("maidian_collector_shed_requests_total", "")},
			}},
			{"Memory that is held for senders", "", "bytes", nil, false, []query{
				{"bodies", "sum(maidian_collector_body_bytes)"},
				{"events without confirm", "sum(maidian_collector_waiting_bytes)"},
			}},
			{"What a message holds", "Under load, messages grow.", "short", nil, false, []query{
				{"events", "sum(rate(maidian_collector_message_events_sum[$__rate_interval])) / sum(rate(maidian_collector_message_events_count[$__rate_interval]))"},
				{"requests", "sum(rate(maidian_collector_message_requests_sum[$__rate_interval])) / sum(rate(maidian_collector_message_requests_count[$__rate_interval]))"},
			}},
		}},
	}}
}

func consumer() *dashboard {
	return &dashboard{"maidian-consumer", "Maidian: consumer", "From the queue to the store, to people and to other systems.", []row{
		{"Do consumers keep up?", []panel{
			{"Events settled, by outcome", "", "eps", nil, false, []query{
				{"{{outcome}}", rate("maidian_consumer_events_total", "outcome")},
			}},
			{"The queue", "", "short", nil, false, []query{
				{"in the queue", "max(maidian_consumer_queue_messages)"},
				{"in consumers' hands", "sum(maidian_bus_held_messages)"},
			}},
			{"The oldest message", "", "s", at(300), false, []query{
				{"oldest", "max(maidian_consumer_queue_oldest_seconds)"},
			}},
		}},
		{"Is it the store?", []panel{
			{"Time of a call", "95 of 100 are quicker.", "s", at(2), false, []query{
				{"{{operation}}", "histogram_quantile(0.95, sum by (le, operation) (rate(maidian_consumer_store_seconds_bucket[$__rate_interval])))"},
			}},
			{"Calls that failed", "", "short", at(0.1), false, []query{
				{"{{operation}}", rate("maidian_consumer_store_retries_total", "operation")},
			}},
			{"Events in an insert", "", "short", nil, false, []query{
				{"mean", "sum(rate(maidian_consumer_batch_events_sum[$__rate_interval])) / sum(rate(maidian_consumer_batch_events_count[$__rate_interval]))"},
			}},
		}},
		{"Is work done twice?", []panel{
			{"Deliveries", "", "short", nil, false, []query{
				{"delivered", rate("maidian_bus_delivered_messages_total", "")},
				{"again", rate("maidian_bus_redelivered_messages_total", "")},
			}},
			{"Settled with the broker", "", "short", nil, false, []query{
				{"{{outcome}}", rate("maidian_bus_settled_messages_total", "outcome")},
				{"too late", rate("maidian_bus_lost_settlements_total", "")},
			}},
			{"Sessions", "", "short", nil, false, []query{
				{"open", "sum(maidian_bus_receive_sessions)"},
				{"lost a second", rate("maidian_bus_receive_reconnects_total", "")},
			}},
		}},
		{"Are rules looked at and people told?", []panel{
			{"Behind", "", "s", at(120), false, []query{
				{"{{project}}", "max by (project) (maidian_alert_lag_seconds)"},
			}},
			{"Firings", "In an hour.", "short", nil, false, []query{
				{"{{project}} {{severity}} {{state}}", "sum by (project, severity, state) (increase(maidian_alert_firings_total[1h]))"},
			}},
			{"Telling", "Attempts a second, and notices that nobody was told of, in an hour.", "short", nil, false, []query{
				{"{{type}} {{result}}", rate("maidian_notify_attempts_total", "type, result")},
				{"{{why}}", "sum by (why) (increase(maidian_notify_unsent_notices_total[1h]))"},
			}},
		}},
		{"Do other systems get their events?", []panel{
			{"Behind", "", "s", at(600), false, []query{
				{"{{project}} {{destination}}", "max by (project, destination) (maidian_forward_lag_seconds)"},
			}},
			{"Events", "", "eps", nil, false, []query{
				{"{{destination}} {{outcome}}", rate("maidian_forward_events_total", "destination, outcome")},
			}},
			{"Batches that were not taken", "They are sent again.", "short", nil, false, []query{
				{"{{destination}}", rate("maidian_forward_errors_total", "destination")},
			}},
		}},
	}}
}

func queries() *dashboard {
	return &dashboard{"maidian-query", "Maidian: query", "What analysts see, and what it is made of.", []row{
		{"How long do people wait?", []panel{
			{"Time of a report", "95 of 100 are quicker; waiting for others not included.", "s", at(5), false, []query{
				{"{{report}}", "histogram_quantile(0.95, sum by (le, report) (rate(maidian_query_report_seconds_bucket[$__rate_interval])))"},
			}},
			{"Reports", "", "reqps", nil, false, []query{
				{"{{report}} {{outcome}}", rate("maidian_query_report_seconds_count", "report, outcome")},
			}},
			{"In work and waiting", "", "short", nil, false, []query{
				{"{{gate}} in work", "sum by (gate) (maidian_query_running_requests)"},
				{"{{gate}} waiting", "sum by (gate) (maidian_query_waiting_requests)"},
			}},
		}},
		{"What do people get?", []panel{
			{"Requests by status", "", "reqps", nil, false, []query{
				{"{{status}}", rate("maidian_query_request_seconds_count", "status")},
			}},
			{"Errors, by reason", "", "reqps", nil, false, []query{
				{"{{reason}}", rate("maidian_query_refused_requests_total", "reason")},
			}},
			{"Time to answer", "", "s", at(5), false, quantiles("maidian_query_request_seconds", `{route=~"/api/.*"}`)},
		}},
		{"Do reports see everything?", []panel{
			{"How old answers are", "", "s", at(30), false, []query{
				{"journal", "max(maidian_query_journal_age_seconds)"},
				{"of what was asked", "histogram_quantile(0.95, sum by (le) (rate(maidian_query_freshness_lag_seconds_bucket[$__rate_interval])))"},
			}},
			{"Differences", "Between memory, store and journal, as the last audit found them.", "short", at(1), false, []query{
				{"missing", "max(maidian_query_follow_audit_missing_events)"},
				{"too many", "max(maidian_query_follow_audit_surplus_events)"},
				{"store gave too few", "max(maidian_query_follow_short_events)"},
			}},
			{"Events read", "", "eps", nil, false, []query{
				{"read", rate("maidian_query_follow_events_total", "")},
				{"missed at first", rate("maidian_query_follow_missed_events_total", "")},
				{"looks failed", rate("maidian_query_follow_failures_total", "")},
			}},
		}},
		{"Is there memory enough?", []panel{
			{"Events in memory", "", "short", nil, false, []query{
				{"rows", "sum by (job, instance) (maidian_query_column_rows)"},
			}},
			{"Cache", "What may leave memory, and what did.", "bytes", nil, false, []query{
				{"bytes", "sum by (job, instance) (maidian_query_column_bytes)"},
			}},
			{"Found in memory", "The part of columns and sealed pieces that nothing had to be read for.", "percentunit", nil, false, []query{
				{"columns", "1 - sum(rate(maidian_query_column_loads_total[$__rate_interval])) / sum(rate(maidian_query_column_uses_total[$__rate_interval]))"},
				{"sealed days", "1 - sum(rate(maidian_query_sealed_reads_total[$__rate_interval])) / sum(rate(maidian_query_sealed_uses_total[$__rate_interval]))"},
			}},
		}},
		{"Are sealed days in order?", []panel{
			{"Sealed and woken", "Days in an hour.", "short", nil, false, []query{
				{"sealed", "sum(increase(maidian_query_sealed_dates_total[1h]))"},
				{"woken by late events", "sum(increase(maidian_query_woken_dates_total[1h]))"},
				{"built again", "sum(increase(maidian_query_unlike_dates_total[1h]))"},
			}},
			{"Parts that were built again", "In an hour, by what was wrong with them.", "short", nil, false, []query{
				{"{{reason}}", "sum by (reason) (increase(maidian_query_rebuilt_segments_total[1h]))"},
			}},
			{"Written", "", "Bps", nil, false, []query{
				{"segments", rate("maidian_query_written_segment_bytes_total", "")},
			}},
		}},
	}}
}
