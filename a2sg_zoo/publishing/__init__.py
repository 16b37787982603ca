"""From a trained network to published weights: conversion of official checkpoints, index entries, model cards."""
