// An OTLP backend that is not ours: the Collector's own gRPC service and decoder. It listens on the
// address given, and writes one JSON line per export: what it understood.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip"
)

type understood struct {
	Services  map[string]int64 `json:"services"`
	Functions []string         `json:"functions"`
	Samples   int              `json:"samples"`
	Types     []string         `json:"types"`
}

type peer struct {
	pprofileotlp.UnimplementedGRPCServer
	out *json.Encoder
}

func (p *peer) Export(_ context.Context, request pprofileotlp.ExportRequest) (pprofileotlp.ExportResponse, error) {
	profiles := request.Profiles()
	dictionary := profiles.Dictionary()
	text := func(index int32) string { return dictionary.StringTable().At(int(index)) }
	seen := understood{Services: map[string]int64{}, Samples: profiles.SampleCount()}
	for _, function := range dictionary.FunctionTable().All() {
		seen.Functions = append(seen.Functions, text(function.NameStrindex()))
	}
	for _, resource := range profiles.ResourceProfiles().All() {
		service := ""
		if value, ok := resource.Resource().Attributes().Get("service.name"); ok {
			service = value.Str()
		}
		for _, scope := range resource.ScopeProfiles().All() {
			for _, profile := range scope.Profiles().All() {
				seen.Types = append(seen.Types, text(profile.SampleType().TypeStrindex()))
				seen.Services[service] += sum(dictionary, profile)
			}
		}
	}
	if err := p.out.Encode(seen); err != nil {
		return pprofileotlp.NewExportResponse(), err
	}
	return pprofileotlp.NewExportResponse(), nil
}

// sum adds up a profile's values, and fails on any index that its dictionary does not have.
func sum(dictionary pprofile.ProfilesDictionary, profile pprofile.Profile) int64 {
	total := int64(0)
	for _, sample := range profile.Samples().All() {
		for _, location := range dictionary.StackTable().At(int(sample.StackIndex())).LocationIndices().All() {
			at := dictionary.LocationTable().At(int(location))
			dictionary.MappingTable().At(int(at.MappingIndex()))
			for _, attribute := range at.AttributeIndices().All() {
				dictionary.AttributeTable().At(int(attribute))
			}
			for _, line := range at.Lines().All() {
				dictionary.FunctionTable().At(int(line.FunctionIndex()))
			}
		}
		for _, value := range sample.Values().All() {
			total += value
		}
	}
	return total
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := grpc.NewServer()
	pprofileotlp.RegisterGRPCServer(server, &peer{out: json.NewEncoder(os.Stdout)})
	if err := server.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
